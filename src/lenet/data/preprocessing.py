"""How ink becomes network input: one value, stored in the weights, for training and prediction."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError, ShapeError

INK_SIZE = 28
BORDER = 2
PADDED_SIZE = INK_SIZE + 2 * BORDER  # 32
FULL_INK = 255

Preparation = Literal["digit", "garment", "plain"]
Wish = Preparation | Literal["auto"]
"""What a user may ask for: one of them, or the one that suits the pictures."""
PREPARATIONS: tuple[Preparation, ...] = ("digit", "garment", "plain")


class _Array(Protocol):
    """What a NumPy array and a torch tensor have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


def check_ink(ink: _Array, remedy: str = "") -> None:
    """Refuse what is no set of ink images; the only place that knows what one is.

    Parameters
    ----------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
        A NumPy array or a torch tensor.
    remedy : str
        What the user can do instead, for the end of the message.

    Raises
    ------
    ShapeError
        When `ink` has another shape or type.
    """
    kind = str(ink.dtype).removeprefix("torch.")  # so that torch need not be loaded to ask
    if len(ink.shape) != 3 or ink.shape[1:] != (INK_SIZE, INK_SIZE) or kind != "uint8":
        end = f"; {remedy}" if remedy else ""
        raise ShapeError(
            f"ink must be (N, {INK_SIZE}, {INK_SIZE}) uint8, got {tuple(ink.shape)} {kind}{end}"
        )


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a picture before a network sees it.

    Parameters
    ----------
    preparation : {"digit", "garment", "plain"}
        How `lenet.data.ink.to_ink` turns a picture into 28×28 ink.
    scale, offset : float
        Network input = ink / 255 * scale + offset; paper is 0, full ink 255.

    Raises
    ------
    InputError
        When the preparation is unknown, or the numbers are not finite or the scale not positive.

    Notes
    -----
    28×28 is padded with paper to 32×32, never stretched, so that stroke ends can fall in the
    centre of the highest feature detectors' receptive fields.

    References
    ----------
    LeCun et al. 1998, Sec. II.B.
    """

    preparation: Preparation
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.preparation not in PREPARATIONS:
            raise InputError(
                f"preparation {self.preparation!r} is unknown; use one of {', '.join(PREPARATIONS)}"
            )
        if not (np.isfinite(self.scale) and np.isfinite(self.offset) and self.scale > 0):
            raise InputError(
                f"preprocessing needs a positive scale and a finite offset, "
                f"got scale {self.scale} and offset {self.offset}"
            )

    @classmethod
    def standardized(cls, preparation: Preparation, ink: NDArray[np.uint8]) -> "Preprocessing":
        """Zero mean and unit variance over the padded training images.

        Parameters
        ----------
        preparation : {"digit", "garment", "plain"}
        ink : (N, 28, 28) uint8
            The training part only: neither validation nor test images may shape the input.

        Returns
        -------
        preprocessing : Preprocessing
            The default one when all pixels are equal.

        Raises
        ------
        ShapeError
            When `ink` is not (N, 28, 28) uint8.
        """
        check_ink(ink)
        # Integer sums are exact and do not depend on the order of the images.
        count = ink.shape[0] * PADDED_SIZE**2
        total = int(ink.sum(dtype=np.int64))
        squares = int((ink.astype(np.uint32) ** 2).sum(dtype=np.int64))
        mean = total / count / FULL_INK
        variance = squares / count / FULL_INK**2 - mean**2
        if variance <= 0:
            return cls(preparation)
        deviation = float(np.sqrt(variance))
        return cls(preparation, scale=1 / deviation, offset=-mean / deviation)

    def apply(self, ink: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pad ink with paper and scale it.

        Parameters
        ----------
        ink : (N, 28, 28) uint8, paper = 0, full ink = 255

        Returns
        -------
        images : (N, 1, 32, 32) float32

        Raises
        ------
        ShapeError
            When `ink` is not (N, 28, 28) uint8.
        """
        check_ink(ink)
        images = np.full(
            (len(ink), 1, PADDED_SIZE, PADDED_SIZE), np.float32(self.offset), np.float32
        )
        inside = slice(BORDER, BORDER + INK_SIZE)
        images[:, 0, inside, inside] = ink * np.float32(self.factor) + np.float32(self.offset)
        return images

    @property
    def factor(self) -> float:
        """What one grey level of ink adds to the network input."""
        return self.scale / FULL_INK

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the metadata of a weight file."""
        return {"preparation": self.preparation, "scale": self.scale, "offset": self.offset}


PAPER_1998 = Preprocessing("digit", scale=1.275, offset=-0.1)
"""Background −0.1, full ink 1.175 (LeCun et al. 1998, Sec. II.B)."""
