"""How data sets lie in folders: each layout that is understood, from the folder to its parts."""

from pathlib import Path

from lenet.data.layouts.class_folders import read_class_folders
from lenet.data.layouts.listing import list_folder
from lenet.data.layouts.source import Source
from lenet.errors import DataError

_READERS = (read_class_folders,)
_LAYOUTS = "one subfolder of pictures per class, or train, validation and test folders of such"
_DEEPEST = 4  # how far down a lone folder is followed


def find_source(folder: Path) -> Source:
    """The data set that is in a folder; no picture is read yet.

    Parameters
    ----------
    folder : Path
        A folder that there is.

    Returns
    -------
    source : Source

    Raises
    ------
    DataError
        When its layout is not understood, or it is no set of classes to learn.
    OSError
        When it cannot be read.
    """
    inner = _go_down(folder)
    listing = list_folder(inner)
    remark = f"Read was {inner}, the only folder in {folder}." if inner != folder else ""
    for read in _READERS:
        source = read(inner, listing)
        if source is not None:
            return source.remarked(remark)
    raise DataError(f"{folder} holds no data set that is understood: {_LAYOUTS}")


def _go_down(folder: Path) -> Path:
    """Past folders that hold nothing but another one: an unpacked archive has such."""
    for _ in range(_DEEPEST):
        listing = list_folder(folder)
        if len(listing.folders) != 1 or listing.pictures:
            break
        inside = list_folder(listing.folders[0])
        if not inside.folders:
            break  # a lone class folder is no data set, and is better refused by its name
        folder = listing.folders[0]
    return folder
