"""IDX files in a folder, named as MNIST's: also those of EMNIST, KMNIST, QMNIST and one's own."""

import re
import string
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lenet.data.idx import read_idx
from lenet.data.layouts.listing import Listing
from lenet.data.layouts.source import PART_OF, Part, Source, label_by_value
from lenet.errors import DataError

_IMAGES = re.compile(
    rf"(?P<set>.*?)(?P<part>{'|'.join(PART_OF)})?[-_.]?images[-_.]idx3[-_.]ubyte(\.gz)?",
    re.IGNORECASE,
)
_EMNIST = "emnist"
_CASELESS = "CIJKLMOPSUVWXYZ"  # small ones look like them; EMNIST merges the two
_LABELS = re.compile(r"[-_.]?labels[-_.]idx[12][-_.](ubyte|int)(\.gz)?", re.IGNORECASE)


def read_idx_files(folder: Path, listing: Listing, wanted: str = "") -> Source | None:
    """The one set of IDX files in a folder.

    Parameters
    ----------
    folder : Path
    listing : Listing
        What is in it.
    wanted : str
        How the names of the set begin, where there are several.

    Returns
    -------
    source : Source or None
        None when there are no such files.

    Raises
    ------
    DataError
        When there are several sets, labels are missing, or a file is damaged.
    """
    files = [path for path in listing.pictures + listing.others if path.name.startswith(wanted)]
    found = [(path, match) for path in files if (match := _IMAGES.fullmatch(path.name))]
    if not found:
        return None
    names = sorted({match["set"].rstrip("-_.") for _, match in found})
    if len(names) > 1:
        raise DataError(
            f"{folder} holds {len(names)} data sets ({', '.join(n or '—' for n in names)}); "
            f"give one of them, such as {folder / names[-1]}"
        )
    images: dict[str, NDArray[Any]] = {}
    values: dict[str, NDArray[Any]] = {}
    for path, match in found:
        part = PART_OF[match["part"].lower()] if match["part"] else "train"
        if part in images:
            raise DataError(f"{folder} has two files of {part} images; keep one of them")
        images[part] = read_idx(path)
        values[part] = _read_labels(path, match, files)
        if images[part].ndim != 3 or len(images[part]) != len(values[part]):
            raise DataError(
                f"{path} holds images {images[part].shape} for {len(values[part])} labels; "
                "there must be one (rows, columns) image for each"
            )
    if "train" not in images:
        raise DataError(f"{folder} has no training images: no file train-images-idx3-ubyte")
    remarks = []
    if names[0].lower().startswith(_EMNIST):  # its images lie on their side, mirrored
        images = {part: each.swapaxes(1, 2) for part, each in images.items()}
        remarks.append("EMNIST's images were turned upright.")
    names_of = _read_mapping(files) or _name_emnist(names[0])
    class_names, labels = label_by_value(values, folder, lambda v: names_of.get(v, str(v)))
    parts = {part: Part(images[part], labels[part]) for part in sorted(images)}
    return Source("IDX files, as MNIST's", class_names, parts, tuple(remarks))


def _read_labels(images: Path, match: re.Match[str], files: list[Path]) -> NDArray[Any]:
    """The labels beside a file of images; QMNIST's table has the class in its first column."""
    start = match["set"] + (match["part"] or "")
    for path in files:
        if path.name.startswith(start) and _LABELS.fullmatch(path.name[len(start) :]):
            labels = read_idx(path)
            if labels.ndim > 2 or 0 in labels.shape[1:]:
                raise DataError(f"{path} holds no labels: its shape is {labels.shape}")
            return labels if labels.ndim == 1 else labels[:, 0]
    raise DataError(
        f"{images} has no labels beside it: {start.rstrip('-_.')}-labels-idx1-ubyte is missing"
    )


def _read_mapping(files: list[Path]) -> dict[int, str]:
    """EMNIST's classes by label: a line has the label, then the code of each of its characters."""
    for path in files:
        if path.name.lower().endswith("mapping.txt") and path.stat().st_size < 100_000:
            rows = [line.split() for line in path.read_text("ascii", "replace").splitlines()]
            if all(map(_is_character, (word for row in rows for word in row))):
                return {int(r[0]): "/".join(chr(int(w)) for w in r[1:]) for r in rows if len(r) > 1}
    return {}


def _is_character(word: str) -> bool:
    """Whether a word is the number of a character; `int` takes no more than 4,300 digits."""
    return word.isdecimal() and len(word) <= 7 and int(word) < 0x110000


def _name_emnist(name: str) -> dict[int, str]:
    """The classes of a set of EMNIST by label, as its mapping files have them; else none.

    References
    ----------
    Cohen et al. 2017, "EMNIST: Extending MNIST to handwritten letters", Sec. III.
    """
    large, small = string.ascii_uppercase, string.ascii_lowercase
    merged = [c for c in small if c.upper() not in _CASELESS]
    classes = {
        "byclass": [*string.digits, *large, *small],
        "bymerge": [*string.digits, *large, *merged],
        "balanced": [*string.digits, *large, *merged],
        "letters": ["", *(f"{c}/{c.lower()}" for c in large)],  # its labels begin at 1
    }
    kind = name.lower().removeprefix(_EMNIST).strip("-_.")
    found = classes.get(kind, []) if name.lower().startswith(_EMNIST) else []
    return {label: c for label, c in enumerate(found) if c}
