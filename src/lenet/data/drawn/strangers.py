"""Strangers: ink that is nothing a network was trained to tell apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.drawn.glyphs import DIGITS, LETTERS
from lenet.data.drawn.handwriting import draw
from lenet.data.drawn.pen import ink_lines, smooth
from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.data.rendering import BOX_SIZE

_SCRIBBLES_OF_A_KIND = 32
_SCRIBBLE_POINTS = (6, 16)  # fewer can be a 1 or a 7
_SCRIBBLE_STEP = 60.0  # of the size of 100, from point to point: so many more lie between
_MARGIN = (INK_SIZE - BOX_SIZE) // 2
_SHARES = {"characters": 0.56, "scribbles": 0.16, "solids": 0.12, "blots": 0.06, "textures": 0.1}

_OUTSIDE = np.ones((INK_SIZE, INK_SIZE), bool)
_OUTSIDE[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = False


def draw_strangers(count: int, class_names: Sequence[str], seed: int) -> NDArray[np.uint8]:
    """Characters that are no class, scribbles, solids, blots, textures and empty paper.

    Parameters
    ----------
    count : int
    class_names : sequence of str
        A character of such a name is no stranger. Nor is what looks like a digit, which is never
        drawn: O, I, S, Z, b, q and their like.
    seed : int

    Returns
    -------
    ink : (count, 28, 28) uint8, paper = 0, full ink = 255
    """
    rng = np.random.default_rng([seed, count])
    known = {name.casefold() for name in class_names}
    glyphs = {
        name: forms for name, forms in (DIGITS | LETTERS).items() if name.casefold() not in known
    }
    ends = np.rint(np.cumsum(list(_SHARES.values())) * count).astype(int)
    sizes = dict(zip(_SHARES, np.diff(ends, prepend=0).tolist(), strict=True))
    characters = rng.integers(0, len(glyphs), sizes["characters"])
    single = {"solids": _solid, "blots": _blot, "textures": _texture}
    drawn = [_draw_one(rng) for kind, _draw_one in single.items() for _ in range(sizes[kind])]
    return np.concatenate(
        [
            draw(glyphs, characters, rng),
            draw_scribbles(sizes["scribbles"], rng),
            np.array(drawn, np.uint8).reshape(-1, INK_SIZE, INK_SIZE),
        ]
    )


def draw_known(count: int, class_names: Sequence[str], seed: int) -> NDArray[np.uint8]:
    """Characters that are classes: those that a class is named after; none where none is.

    Parameters
    ----------
    count : int
    class_names : sequence of str
    seed : int

    Returns
    -------
    ink : (count or 0, 28, 28) uint8
    """
    rng = np.random.default_rng([seed, count])
    glyphs = {name: DIGITS[name] for name in class_names if name in DIGITS}
    labels = rng.integers(0, max(len(glyphs), 1), count if glyphs else 0)
    return draw(glyphs, labels, rng)


def draw_scribbles(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lines through points anywhere: (count, 28, 28)."""
    images = np.empty((count, INK_SIZE, INK_SIZE), np.uint8)
    for first in range(0, count, _SCRIBBLES_OF_A_KIND):
        some = images[first : first + _SCRIBBLES_OF_A_KIND]
        points = rng.uniform(0, 100, (len(some), rng.integers(*_SCRIBBLE_POINTS), 2))
        nominal = np.zeros(points.shape[1:])
        nominal[1::2] = _SCRIBBLE_STEP
        matrix = smooth(nominal, rng.random(len(nominal)) < rng.choice([0, 0.3, 1]))
        lines = np.einsum("lp,cpk->clk", matrix, points).astype(np.float32)
        some[:] = ink_lines(lines, np.zeros(len(matrix), np.intp), rng)
    return images


def _solid(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A filled outline in the box, as a garment or a tool leaves one: bars and rounds together."""
    fine = np.linspace(-1, 1, 4 * BOX_SIZE)
    covered = np.zeros((len(fine), len(fine)), bool)
    for _ in range(rng.integers(2, 6)):
        angle = rng.normal(0, 0.6) + rng.integers(2) * np.pi / 2
        across, down = fine - rng.uniform(-0.5, 0.5), fine[:, None] - rng.uniform(-0.5, 0.5)
        c, s = np.cos(angle), np.sin(angle)
        u = (c * across + s * down) / rng.uniform(0.1, 0.5)
        v = (c * down - s * across) / rng.uniform(0.25, 0.8)
        covered |= u**2 + v**2 < 1 if rng.random() < 0.4 else np.maximum(abs(u), abs(v)) < 1
    picture = Image.fromarray(covered)
    box = picture.getbbox() or (0, 0, *picture.size)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = BOX_SIZE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = picture.convert("L").resize(size, Image.Resampling.BOX, box=box)
    frame = Image.new("L", (INK_SIZE, INK_SIZE))
    frame.paste(small, ((INK_SIZE - size[0]) // 2, (INK_SIZE - size[1]) // 2))
    return np.array(frame)


def _blot(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Dark shapes with soft insides, where smooth noise is high; half of them keep to the box."""
    shape = _noise(int(rng.integers(2, 6)), Image.Resampling.BICUBIC, rng) > rng.uniform(90, 150)
    inside = _noise(int(rng.integers(2, 28)), Image.Resampling.BILINEAR, rng)
    flat = rng.uniform(0.3, 1)
    if rng.random() < 0.5:
        shape[_OUTSIDE] = False
    return np.array(shape * (flat * FULL_INK + (1 - flat) * inside), np.uint8)


def _texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of any grain and contrast, down to nothing at all; in grey or in black and white."""
    filters = (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
    noise = _noise(int(rng.integers(1, INK_SIZE + 1)), filters[rng.integers(2)], rng)
    if rng.random() < 1 / 3:
        return np.array((noise > rng.uniform(40, 250)) * np.uint8(FULL_INK))
    low = rng.uniform(0, 0.5) * (rng.random() < 0.5)
    return np.array(FULL_INK * low + noise * rng.uniform(0, 1 - low), np.uint8)


def _noise(
    cells: int, resampling: Image.Resampling, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(28, 28) 0 … 255, from so many cells a side."""
    small = Image.fromarray(rng.integers(0, FULL_INK + 1, (cells, cells)).astype(np.uint8))
    return np.asarray(small.resize((INK_SIZE, INK_SIZE), resampling), np.float32)
