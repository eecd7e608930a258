"""What lies in a folder, sorted and bounded, without what programs leave beside pictures."""

import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lenet.data.layouts.source import MAX_PICTURES
from lenet.data.signatures import HEIF_SUFFIXES, PICTURE_SUFFIXES
from lenet.errors import DataError

# Those that may be refused are pictures too: that is to be said, and they are not passed over.
_PICTURES = frozenset(["", *PICTURE_SUFFIXES, *HEIF_SUFFIXES, ".avif"])
_CLUTTER = frozenset(("thumbs.db", "desktop.ini", "__macosx"))


class Listing(NamedTuple):
    """The contents of a folder, each sorted by name.

    Parameters
    ----------
    folders, pictures, others : list of Path
        By their kind, and files by their suffix.
    clutter : list of Path
        Hidden ones, and what file browsers and archives leave behind.
    """

    folders: list[Path]
    pictures: list[Path]
    others: list[Path]
    clutter: list[Path]


def list_folder(folder: Path) -> Listing:
    """What lies in a folder.

    Raises
    ------
    DataError
        When it is more than is read.
    OSError
        When the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir()) for entry in islice(entries, MAX_PICTURES + 1)]
    if len(found) > MAX_PICTURES:
        raise DataError(f"{folder} holds more than {MAX_PICTURES} files; none was read")
    listing = Listing([], [], [], [])
    for name, is_folder in sorted(found):
        if name[0] == "." or name.lower() in _CLUTTER:
            kind = listing.clutter
        elif is_folder:
            kind = listing.folders
        elif Path(name).suffix.lower() in _PICTURES:
            kind = listing.pictures
        else:
            kind = listing.others
        kind.append(folder / name)
    return listing
