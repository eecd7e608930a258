"""Pictures become ink, many at a time; those that cannot be read are all named at once."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from lenet.data.ink import Ink, to_ink
from lenet.data.layouts.source import Part
from lenet.data.pictures import read_picture
from lenet.data.preprocessing import FULL_INK, INK_SIZE, Preparation
from lenet.errors import PictureError
from lenet.threads import thread_count

Pictures = Sequence[Path] | NDArray[Any]

_READERS = 4
_SOME = 1000  # images tell the paper of all
_AHEAD = 64  # pictures asked for before they are needed: what is decoded stays bounded


def read_part(part: Part, preparation: Preparation) -> tuple[NDArray[np.uint8], list[str]]:
    """The pictures of a part as ink.

    Parameters
    ----------
    part : Part
    preparation : {"digit", "garment", "plain"}

    Returns
    -------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
        Blank where a picture cannot be read.
    failures : list of str
        Empty for a picture that can be read, else what is wrong with it.
    """
    if preparation == "plain" and _is_ink(part.pictures):
        return _light_on_dark(np.ascontiguousarray(part.pictures)), [""] * len(part)
    ink = np.zeros((len(part), INK_SIZE, INK_SIZE), np.uint8)
    failures = [""] * len(part)
    for place, found in enumerate(prepare_pictures(part.pictures, (preparation,))):
        if isinstance(found, PictureError):
            failures[place] = str(found)
        else:
            ink[place] = found[0].ink
    return ink, failures


def _is_ink(pictures: Pictures) -> TypeGuard[NDArray[np.uint8]]:
    """Arrays of just the right size are ink already: nothing would be left to do but to copy."""
    if isinstance(pictures, np.ndarray):
        return pictures.shape[1:] == (INK_SIZE, INK_SIZE) and pictures.dtype == np.uint8
    return False


def _light_on_dark(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 28, 28) with paper dark, as IDX has it; a set on light paper is turned as a whole."""
    some = images[:_SOME]
    border = np.concatenate([some[:, 0], some[:, -1], some[:, :, 0], some[:, :, -1]], axis=1)
    return FULL_INK - images if border.size and np.median(border) > FULL_INK / 2 else images


def prepare_pictures(
    pictures: Pictures, preparations: Sequence[Preparation]
) -> Iterator[tuple[Ink, ...] | PictureError]:
    """Every picture, prepared in one or several ways, in order.

    Parameters
    ----------
    pictures : sequence of Path, or (N, H, W) or (N, H, W, channels) array
    preparations : sequence of {"digit", "garment", "plain"}

    Yields
    ------
    inks : tuple of Ink, or PictureError
        One for each preparation, or why the picture cannot be read.
    """

    def prepare(picture: Path | NDArray[Any]) -> tuple[Ink, ...] | PictureError:
        try:
            grey = read_picture(picture)
            return tuple(to_ink(grey, preparation) for preparation in preparations)
        except PictureError as error:
            if isinstance(picture, Path) and str(picture) not in str(error):
                return PictureError(f"{picture}: {error}")
            return error

    # Pillow decodes without holding the interpreter; few threads, for a picture may be large.
    with ThreadPoolExecutor(min(_READERS, thread_count())) as pool:
        rest = iter(pictures)
        waiting = deque(pool.submit(prepare, picture) for picture in islice(rest, _AHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(prepare, picture) for picture in islice(rest, 1))
