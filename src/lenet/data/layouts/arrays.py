"""NumPy's `.npz` archives, as Keras, MedMNIST and KMNIST name what is in them."""

import re
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.data.idx import MAX_BYTES
from lenet.data.layouts.listing import Listing
from lenet.data.layouts.source import MAX_PICTURES, PART_OF, Part, Source, label_by_value
from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.errors import DataError

_IMAGES = {"x", "images", "image", "imgs", "data"}
_LABELS = {"y", "labels", "label", "targets", "target"}


def read_arrays(folder: Path, listing: Listing) -> Source | None:
    """The arrays of all `.npz` files of a folder, told apart by their names and the files'.

    `x_train` and `y_train`, `train_images` and `train_labels`, `images` and `labels` are known,
    and so are files such as `kmnist-train-imgs.npz`, whose one array has no name.

    Parameters
    ----------
    folder : Path
    listing : Listing
        What is in it.

    Returns
    -------
    source : Source or None
        None when there are no such files.

    Raises
    ------
    DataError
        When arrays are missing, too large, or do not fit each other.
    """
    files = [path for path in listing.others if path.suffix.lower() == ".npz"]
    if not files:
        return None
    images: dict[str, NDArray[Any]] = {}
    values: dict[str, NDArray[Any]] = {}
    for path in files:
        _sort_archive(path, images, values)
    where = files[0] if len(files) == 1 else folder
    if "train" not in images or images.keys() != values.keys():
        raise DataError(
            f"{where} does not hold images and labels of the same parts, train among them: "
            "name the arrays x_train, y_train, x_test, y_test, or images, labels"
        )
    for part, each in images.items():
        if len(each) != len(values[part]):
            raise DataError(f"{where}: {len(each)} {part} images, but {len(values[part])} labels")
    class_names, labels = label_by_value(values, where)
    parts = {part: Part(images[part], labels[part]) for part in sorted(images)}
    return Source("arrays in .npz files", class_names, parts)


def _sort_archive(
    path: Path, images: dict[str, NDArray[Any]], values: dict[str, NDArray[Any]]
) -> None:
    """Put the images and the labels that an archive holds under their part."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                key = name.removesuffix(".npy")
                source = f"{path}: {key!r}"
                part, kind = _meaning(path.stem, key)
                if not kind:
                    continue
                into = images if kind == "images" else values
                if part in into:
                    raise DataError(f"{source} is a second array of {part} {kind}; keep one")
                array = _read_array(archive, name, source)
                into[part] = (_as_pictures if into is images else _as_labels)(array, source)
    except (DataError, OSError, MemoryError):
        raise
    except Exception as error:  # bytes from a stranger: zipfile and NumPy raise almost anything
        raise DataError(f"{path} is no .npz archive that can be read: {error}") from error


def _meaning(stem: str, key: str) -> tuple[str, Literal["images", "labels", ""]]:
    """The part and the kind of an array by its name, or where that says nothing by the file's."""
    for name in (key, f"{stem}-{key}"):
        words = re.split(r"[^a-z0-9]+", name.lower())
        kind: Literal["images", "labels", ""] = (
            "images" if _IMAGES.intersection(words) else "labels"
        )
        if kind == "images" or _LABELS.intersection(words):
            words += re.split(r"[^a-z0-9]+", stem.lower())
            return next((PART_OF[word] for word in words if word in PART_OF), "train"), kind
    return "train", ""


def _read_array(archive: zipfile.ZipFile, name: str, source: str) -> NDArray[Any]:
    """One array, its size known before it is unpacked; never a pickle."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(member)
    size = int(np.prod([max(d, 1) for d in shape], dtype=object)) * dtype.itemsize
    if size > MAX_BYTES or (shape and shape[0] > MAX_PICTURES):
        raise DataError(f"{source} is {shape} {dtype}; at most {MAX_BYTES} bytes are read")
    with archive.open(name) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _as_pictures(array: NDArray[Any], source: str) -> NDArray[Any]:
    """(N, rows, columns) or (N, rows, columns, channels), ink light on dark where it is 28×28."""
    if array.ndim == 2 and array.shape[1] == INK_SIZE**2:
        array = array.reshape(-1, INK_SIZE, INK_SIZE)
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array.squeeze(1 if array.shape[1] == 1 else 3)
    if array.ndim not in (3, 4) or array.dtype.kind not in "uifb":
        raise DataError(
            f"{source} is {array.shape} {array.dtype}; images are numbers (N, rows, columns)"
        )
    if array.shape[1:] != (INK_SIZE, INK_SIZE) or array.dtype == np.uint8:
        return array
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    if not (low >= 0 and high <= FULL_INK):
        raise DataError(f"{source} holds {low:g} to {high:g}; images are 0 to 1, or 0 to 255")
    scale = FULL_INK if array.dtype.kind in "fb" and high <= 1 else 1
    return np.rint(array * np.float32(scale)).astype(np.uint8)


def _as_labels(array: NDArray[Any], source: str) -> NDArray[Any]:
    """(N,) numbers or words."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "uibU":
        raise DataError(
            f"{source} is {array.shape} {array.dtype}; labels are (N,) numbers or words"
        )
    return array
