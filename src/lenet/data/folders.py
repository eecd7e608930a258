"""A person's folder of pictures: one subfolder per class, or parts that have them."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.ink import to_ink
from lenet.data.pictures import read_picture
from lenet.data.splits import Split
from lenet.errors import DataError, PictureError

MAX_CLASSES = 1000
MAX_PICTURES = 500_000
"""As 28×28 ink they take 400 MB."""

_READERS = 4
_PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_CLUTTER = ("Thumbs.db", "desktop.ini")  # what a file browser leaves beside pictures


def find_parts(folder: Path) -> dict[str, Path]:
    """Where the parts of a data set are.

    Returns
    -------
    parts : dict of str to Path
        `train` and, where the folder has them, `validation` and `test`, by name in alphabetical
        order; a folder without a `train` folder in it is the training part.

    Raises
    ------
    DataError
        When there are too many files, or two validation parts.
    """
    names = {path.name for path in _entries(folder) if path.is_dir()}
    if "train" not in names or not names <= _PARTS.keys():
        return {"train": folder}
    parts = {_PARTS[name]: folder / name for name in names}
    if len(parts) < len(names):
        raise DataError(f"{folder} has both val and validation; keep one")
    return dict(sorted(parts.items()))


def read_parts(parts: Mapping[str, Path]) -> tuple[tuple[str, ...], dict[str, Split]]:
    """The classes of the training part, and every part's pictures as plain ink.

    Parameters
    ----------
    parts : mapping of str to Path
        As `find_parts` gives them: folders with one subfolder of pictures per class.

    Returns
    -------
    class_names : tuple of str
        By label.
    loaded : dict of str to Split
        In the order of `parts`.

    Raises
    ------
    DataError
        When the folders are no set of classes to learn, or hold what is no picture.
    """
    class_names = _class_names(parts["train"])
    return class_names, {name: _load_classes(part, class_names) for name, part in parts.items()}


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden files."""
    with os.scandir(folder) as entries:
        names = list(islice((entry.name for entry in entries), MAX_PICTURES + 1))
    if len(names) > MAX_PICTURES:
        raise DataError(f"{folder} holds more than {MAX_PICTURES} files; none was read")
    return [folder / name for name in sorted(names) if name[0] != "." and name not in _CLUTTER]


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _entries(folder) if path.is_dir())
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{folder} has {len(names)} class folders; 2 to {MAX_CLASSES} can be learned, "
            "one subfolder of pictures for each"
        )
    for name in names:
        if not name.isprintable():  # control characters, and bytes that are no text
            raise DataError(f"{folder}: rename the class folder {name!a} to printable text")
    return names


def _load_classes(folder: Path, class_names: tuple[str, ...]) -> Split:
    """The pictures of one part, by class and then by file name."""
    paths: list[Path] = []
    labels: list[int] = []
    for path in _entries(folder):
        if not path.is_dir():
            continue
        if path.name not in class_names:
            raise DataError(f"{path} is no class of the train folder; remove it or add it there")
        pictures = _entries(path)
        if not pictures:
            raise DataError(f"the class folder {path} is empty; put pictures into it or remove it")
        paths += pictures
        labels += [class_names.index(path.name)] * len(pictures)
        if len(paths) > MAX_PICTURES:
            raise DataError(f"{folder} holds more than {MAX_PICTURES} files; none was read")
    if not paths:
        raise DataError(f"{folder} holds no class folders; put one subfolder per class into it")
    # Pillow decodes without holding the interpreter; few threads, for a picture may be large.
    with ThreadPoolExecutor(_READERS) as pool:
        images = np.stack(list(pool.map(_load_picture, paths)))
    return Split(images, np.array(labels, dtype=np.int64))


def _load_picture(path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError(f"{path} is not a picture file; class folders hold pictures only")
    try:
        return to_ink(read_picture(path), "plain").ink
    except PictureError as error:
        message = str(error)
        raise DataError(message if str(path) in message else f"{path}: {message}") from error
