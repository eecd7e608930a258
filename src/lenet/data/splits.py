"""A data set in memory: uint8 images and labels, in three parts that never mix."""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import Preparation, check_ink
from lenet.errors import DataError, ShapeError

PARTS = ("train", "validation", "test")
"""Of every data set, test last."""


@dataclass(frozen=True, repr=False)
class Split:
    """One part of a data set.

    Parameters
    ----------
    images : (N, 28, 28) uint8, paper = 0, full ink = 255
    labels : (N,) int64, 0 … classes − 1
    files : (N,) tuple of str, optional
        Where each image is from, below the data set's folder; None where images are no files.

    Raises
    ------
    ShapeError
        When one of them has another shape or type.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    files: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_ink(self.images)
        if self.labels.shape != (len(self.images),) or self.labels.dtype != np.int64:
            raise ShapeError(
                f"{len(self.images)} images need labels ({len(self.images)},) int64, "
                f"got {self.labels.shape} {self.labels.dtype}"
            )
        if self.files is not None and len(self.files) != len(self.images):
            raise ShapeError(f"{len(self.images)} images need as many files, got {len(self.files)}")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Split of {len(self):,} images of {len(np.unique(self.labels))} classes>"

    def count(self, classes: int) -> NDArray[np.intp]:
        """How many images there are of each class: (classes,)."""
        return np.bincount(self.labels, minlength=classes)


@dataclass(frozen=True, repr=False)
class Splits:
    """A data set: train to learn from, validation to choose by, test to read once.

    Parameters
    ----------
    name : str
        The data set's name, or the folder's.
    train, validation, test : Split
    class_names : tuple of str
        By label.
    preparation : {"digit", "garment", "plain"}
        How a picture must be prepared to look like these images.
    sha256 : str
        Over the images and labels as read, so that a weight file can say what it was trained on.
    remarks : tuple of str
        What was noticed while it was loaded: one sentence each, for people.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    preparation: Preparation
    sha256: str
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<Splits of {self.name}: {len(self.train):,} train, {len(self.validation):,} "
            f"validation, {len(self.test):,} test images of {len(self.class_names)} classes>"
        )

    def part(self, name: str) -> Split:
        """`train`, `validation` or `test`."""
        if name not in PARTS:
            raise DataError(f"split {name!r} is unknown; use one of {', '.join(PARTS)}")
        part: Split = getattr(self, name)
        return part

    def part_with_images(self, name: str) -> Split:
        """The same, but DataError when there is no image in it."""
        part = self.part(name)
        if not len(part):
            raise DataError(f"{self.name} has no {name} images")
        return part


def hold_out(split: Split, amount: int | float, seed: int) -> tuple[Split, Split]:
    """Part a split in two, stratified.

    Parameters
    ----------
    split : Split
    amount, seed
        As `draw_held_out`.

    Returns
    -------
    kept, held_out : Split
        Both in the order of `split`.
    """
    held = draw_held_out(split.labels, amount, seed)
    return take(split, ~held), take(split, held)


def take(split: Split, chosen: NDArray[np.bool_]) -> Split:
    """The chosen images of a split, with their labels and files."""
    files = split.files and tuple(itertools.compress(split.files, chosen))
    return Split(split.images[chosen], split.labels[chosen], files)


def join(first: Split, second: Split) -> Split:
    """The images of two splits, one after the other; their files where both have them."""
    files = first.files and second.files and (*first.files, *second.files)
    return Split(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        files or None,
    )


def draw_held_out(labels: NDArray[np.int64], amount: int | float, seed: int) -> NDArray[np.bool_]:
    """Which images to hold out, stratified; images are not needed to say it.

    Every class gives its proportional share, rounded so that the total is exact (largest
    remainders first), and keeps at least one image.

    Parameters
    ----------
    labels : (N,) int64
    amount : int or float
        A number of images, or a fraction from 0 to below 1; more than none is at least one.
    seed : int
        Which images are held out.

    Returns
    -------
    held : (N,) bool
    """
    count = round(amount if isinstance(amount, int) else amount * len(labels))
    count = max(count, 1) if amount else 0
    sizes = np.bincount(labels)
    # Integers: `count` shares of size / N each, whole parts and remainders, without rounding.
    quota, remainders = np.divmod(sizes * count, len(labels))
    quota = np.minimum(quota, np.maximum(sizes - 1, 0))
    spare = np.flatnonzero(quota + 1 < sizes)
    first = spare[np.argsort(-remainders[spare], kind="stable")]
    quota[first[: count - quota.sum()]] += 1

    held = np.zeros(len(labels), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(labels))
    for label, size in enumerate(quota):
        held[order[labels[order] == label][:size]] = True
    return held


def digest(*splits: Split) -> str:
    """SHA-256 over images and labels in the order given, as 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    for split in splits:
        sha256.update(np.ascontiguousarray(split.images).data)
        sha256.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return sha256.hexdigest()
