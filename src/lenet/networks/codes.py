"""The stylised 7×12 characters that the 1998 network's outputs are compared with."""

import json
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError

ROWS, COLUMNS = 12, 7
DIGITS = "0123456789"


@cache
def bitmaps() -> dict[str, tuple[str, ...]]:
    """The 96 characters: twelve rows of seven, '#' for +1 and '.' for −1.

    References
    ----------
    LeCun et al. 1998, Fig. 3.
    """
    text = resources.files("lenet.networks").joinpath("rbf_bitmaps.json").read_text("utf-8")
    return {character: tuple(rows) for character, rows in json.loads(text).items()}


def encode(characters: str = DIGITS) -> NDArray[np.float32]:
    """The codes of some characters.

    Returns
    -------
    codes : (len(characters), 84) float32, ±1, row by row

    Raises
    ------
    InputError
        When a character is not among the 96.
    """
    known = bitmaps()
    unknown = [c for c in characters if c not in known]
    if unknown:
        raise InputError(f"no 7×12 code for {unknown}; the known ones are {''.join(known)!r}")
    dots = [[dot for row in known[c] for dot in row] for c in characters]
    return np.where(np.array(dots) == "#", np.float32(1), np.float32(-1))
