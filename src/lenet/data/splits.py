"""A data set in memory: uint8 images and labels, in three parts that never mix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import INK_SIZE, Preparation
from lenet.errors import DataError


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Parameters
    ----------
    images : (N, 28, 28) uint8, paper = 0, full ink = 255
    labels : (N,) int64, 0 … classes − 1
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.images.shape != (n, INK_SIZE, INK_SIZE) or self.images.dtype != np.uint8:
            raise DataError(
                f"{n} labels need images ({n}, {INK_SIZE}, {INK_SIZE}) uint8, "
                f"got {self.images.shape} {self.images.dtype}"
            )
        if self.labels.dtype != np.int64:
            raise DataError(f"labels must be int64, got {self.labels.dtype}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
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
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    preparation: Preparation
    sha256: str

    def part(self, name: str) -> Split:
        """`train`, `validation` or `test`."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in parts:
            raise DataError(f"split {name!r} is unknown; use one of {', '.join(parts)}")
        return parts[name]
