"""What a folder holds, known before a picture is read: parts, their labels, and class names."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import DataError

MAX_CLASSES = 1000
MAX_PICTURES = 1_000_000
"""As 28×28 ink they take 784 MB."""

_PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing", "t10k"),
}
PART_OF = {word: part for part, words in _PARTS.items() for word in words}
"""The part that a word in lower case names."""

_NAMED = 5  # files that a remark names


@dataclass(frozen=True, eq=False)
class Part:
    """The pictures of one part, in order, and what they show.

    Parameters
    ----------
    pictures : sequence of Path, or (N, H, W) or (N, H, W, channels) array
        Each is one that `lenet.data.pictures.read_picture` takes.
    labels : (N,) int64, 0 … classes − 1
    """

    pictures: Sequence[Path] | NDArray[Any]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it lies on the disk.

    Parameters
    ----------
    layout : str
        How it is laid out, in a few words.
    class_names : tuple of str
        By label.
    parts : mapping of str to Part
        `train` and, where there are any, `test` and `validation`, in alphabetical order.
    remarks : tuple of str
        What a person should know of it: one sentence each.
    """

    layout: str
    class_names: tuple[str, ...]
    parts: Mapping[str, Part]
    remarks: tuple[str, ...] = ()

    def remarked(self, *sentences: str) -> "Source":
        """The same with more to know, said first; empty sentences are none."""
        return replace(self, remarks=(*filter(None, sentences), *self.remarks))


def label_by_value(
    values: Mapping[str, NDArray[Any]],
    where: Path,
    name_of: Callable[[Any], str] = str,
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """Class names and labels from what stands beside the pictures: numbers or words.

    Parameters
    ----------
    values : mapping of str to (N,) array
        For every part; `train` says which classes there are.
    where : Path
        For the messages.
    name_of : callable
        What a class of some value is called.

    Returns
    -------
    class_names : tuple of str
        In the order of the values; words that are all whole numbers in the order of these.
    labels : dict of str to (N,) int64

    Raises
    ------
    DataError
        When the classes cannot be learned, or a part has one that the training part lacks.
    """
    found = np.unique(values["train"]).tolist()
    if all(isinstance(value, str) and value.isdecimal() for value in found):
        found.sort(key=lambda value: (int(value), value))
    class_names = check_classes([name_of(value) for value in found], where)
    label_of = {value: label for label, value in enumerate(found)}
    labels = {}
    for part, each in values.items():
        strangers = [value for value in np.unique(each).tolist() if value not in label_of]
        if strangers:
            raise DataError(
                f"{where}: class {name_of(strangers[0])!r} is in the {part} part only; "
                "remove it or add it to the training part"
            )
        distinct, places = np.unique(each, return_inverse=True)
        of_distinct = np.array([label_of[value] for value in distinct.tolist()], np.int64)
        labels[part] = of_distinct[places.reshape(-1)]
    return class_names, labels


def check_classes(names: Sequence[str], where: Path) -> tuple[str, ...]:
    """The names of classes that can be learned.

    Raises
    ------
    DataError
        When there are too few or too many, two of one name, or one that is no text.
    """
    if not 2 <= len(names) <= MAX_CLASSES:
        classes = "1 class" if len(names) == 1 else f"{len(names)} classes"
        raise DataError(f"{where} has {classes}; 2 to {MAX_CLASSES} can be learned")
    for name, count in Counter(names).items():
        if not name or not name.isprintable():  # control characters, and bytes that are no text
            raise DataError(f"{where}: rename the class {name!a} to printable text")
        if count > 1:
            raise DataError(f"{where}: {count} classes are called {name!r}; rename them")
    return tuple(names)


def say_passed_over(files: Iterable[Path]) -> str:
    """A sentence about what was left out because it is no picture; empty when there is nothing."""
    counts = Counter(file.name for file in files)
    if not counts:
        return ""
    names = [name if n == 1 else f"{name} ({n})" for name, n in counts.most_common(_NAMED)]
    more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    total = counts.total()
    what = "1 file that is no picture was"
    if total > 1:
        what = f"{total} files that are no picture were"
    return f"{what} passed over: {', '.join(names)}{more}."


def several(failures: Sequence[str], limit: int = 10) -> str:
    """The first of many failures, and how many more there are."""
    more = f"; and {len(failures) - limit} more" if len(failures) > limit else ""
    return "; ".join(failures[:limit]) + more
