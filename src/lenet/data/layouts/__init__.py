"""How data sets lie in folders: each layout that is understood, from the folder to its parts."""

from pathlib import Path

from lenet.data.layouts.arrays import read_arrays
from lenet.data.layouts.class_folders import read_class_folders
from lenet.data.layouts.idx_files import read_idx_files
from lenet.data.layouts.listing import Listing, list_folder
from lenet.data.layouts.source import Source
from lenet.data.layouts.table import find_tables, read_table
from lenet.errors import DataError

_READERS = (read_idx_files, read_arrays, read_table, read_class_folders)
_LAYOUTS = (
    "one subfolder of pictures per class; train, validation and test folders of such; "
    "a CSV file with the columns file and label beside pictures; IDX files named as MNIST's; "
    "an .npz file with x_train and y_train, or images and labels"
)
_DEEPEST = 4  # how far down a lone folder is followed


def find_source(place: Path) -> Source | None:
    """The data set that is in a folder or a file; no picture file is read yet.

    Parameters
    ----------
    place : Path
        A folder; a `.npz` or `.csv` file; or in a folder of several sets of IDX files how the
        names of one begin, such as ``EMNIST/emnist-letters``.

    Returns
    -------
    source : Source or None
        None when there is no such place.

    Raises
    ------
    DataError
        When its layout is not understood, or it is no set of classes to learn.
    OSError
        When it cannot be read.
    """
    if not place.is_dir():
        return _find_file(place)
    folder, inner = place, _go_down(place)
    listing = list_folder(inner)
    remark = f"Read was {inner}, the only folder in {folder}." if inner != folder else ""
    for read in _READERS:
        source = read(inner, listing)
        if source is not None:
            return source.remarked(remark)
    raise DataError(f"{folder} holds no data set of a kind that is read: {_LAYOUTS}")


def _find_file(place: Path) -> Source | None:
    """The data set that a file is, or that files whose names begin so are."""
    folder = place.parent
    if place.is_file():
        listing = list_folder(folder)._replace(others=[place])
        for read in (read_arrays, read_table):
            source = read(folder, listing)
            if source is not None:
                return source
        raise DataError(f"{place} is no data set; give a folder, an .npz or a .csv file")
    if place.name and folder.is_dir():
        return read_idx_files(folder, list_folder(folder), place.name)
    return None


def _go_down(folder: Path) -> Path:
    """Past folders that hold nothing but another one: an unpacked archive has such."""
    for _ in range(_DEEPEST):
        listing = list_folder(folder)
        if len(listing.folders) != 1 or listing.pictures or _has_data(listing):
            break
        inside = list_folder(listing.folders[0])
        if not inside.folders and not _has_data(inside):
            break  # a lone class folder is no data set, and is better refused by its name
        folder = listing.folders[0]
    return folder


def _has_data(listing: Listing) -> bool:
    """Whether a folder has files that are a data set by themselves."""
    names = [path.name.lower() for path in listing.others]
    found = any(name.endswith((".npz", "ubyte", "ubyte.gz")) for name in names)
    return found or bool(find_tables(listing))
