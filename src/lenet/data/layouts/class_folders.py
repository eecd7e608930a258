"""A folder with one subfolder of pictures per class, or with parts that have them."""

from pathlib import Path

import numpy as np

from lenet.data.layouts.listing import Listing, list_folder
from lenet.data.layouts.source import (
    MAX_PICTURES,
    PART_OF,
    Part,
    Source,
    check_classes,
    say_passed_over,
)
from lenet.errors import DataError


def read_class_folders(folder: Path, listing: Listing) -> Source | None:
    """The classes by the folders' names.

    Parameters
    ----------
    folder : Path
    listing : Listing
        What is in it.

    Returns
    -------
    source : Source or None
        None when there are no folders.

    Raises
    ------
    DataError
        When the folders are no set of classes to learn.
    """
    if not listing.folders:
        return None
    parts, passed, remarks = {"train": (folder, listing)}, listing.others + listing.clutter, []
    if named := _named_parts(folder, listing):
        parts = {part: (path, list_folder(path)) for part, path in named.items()}
        passed += [path for _, inside in parts.values() for path in inside.others + inside.clutter]
        for part, (path, inside) in list(parts.items()):
            if part != "train" and inside.pictures and not inside.folders:
                del parts[part]
                remarks.append(
                    f"{path.name} holds pictures without class folders and was passed over."
                )
    folders = {part: inside.folders for part, (_, inside) in parts.items()}
    class_names = check_classes([path.name for path in folders["train"]], parts["train"][0])
    loaded = {}
    for part, (path, inside) in sorted(parts.items()):
        if not inside.folders:
            raise DataError(f"{path} holds no class folders; put one subfolder per class into it")
        loaded[part] = _read_classes(inside.folders, class_names, passed)
    layout = "one subfolder of pictures per class"
    if named:
        layout = f"{', '.join(path.name for path in named.values())}, each with {layout}"
    return Source(layout, class_names, loaded, (*remarks, *filter(None, [say_passed_over(passed)])))


def _named_parts(folder: Path, listing: Listing) -> dict[str, Path]:
    """The folders that are parts, when a training part is among them and nothing else is there."""
    parts: dict[str, Path] = {}
    for path in listing.folders:
        part = PART_OF.get(path.name.lower())
        if part is None:
            return {}
        if part in parts:
            raise DataError(f"{folder} has both {parts[part].name} and {path.name}; keep one")
        parts[part] = path
    return parts if "train" in parts else {}


def _read_classes(folders: list[Path], class_names: tuple[str, ...], passed: list[Path]) -> Part:
    """The pictures of one part, by class and then by file name; what is none is passed over."""
    pictures: list[Path] = []
    labels: list[int] = []
    for path in folders:
        if path.name not in class_names:
            raise DataError(f"{path} is no class of the train folder; remove it or add it there")
        inside = list_folder(path)
        if inside.folders:
            raise DataError(
                f"{inside.folders[0]} is a folder inside a class folder; "
                "move its pictures up, or name the parts train, validation and test"
            )
        if not inside.pictures:
            raise DataError(
                f"the class folder {path} is empty of pictures; put some into it or remove it"
            )
        passed += inside.others + inside.clutter
        pictures += inside.pictures
        labels += [class_names.index(path.name)] * len(inside.pictures)
        if len(pictures) > MAX_PICTURES:
            raise DataError(f"{path.parent} holds more than {MAX_PICTURES} files; none was read")
    return Part(pictures, np.array(labels, np.int64))
