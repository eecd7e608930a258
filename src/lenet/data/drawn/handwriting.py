"""Handwriting drawn by rule: characters in their customary forms, as MNIST would hold them.

A drawn character lies at random between the extremes of its form. Its points are moved, its whole
is slanted, squeezed, turned and bent, and a pen goes along it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.data.drawn.glyphs import DIGITS, Form
from lenet.data.drawn.pen import Floats, Strokes, ink_lines, smooth
from lenet.data.preprocessing import INK_SIZE
from lenet.data.splits import Split

_CHUNK = 128  # characters drawn at once: few enough to stay in the cache
_WAVES = 3  # sinusoids that bend a character


def draw_digits(count: int, seed: int) -> Split:
    """Digits in random order, equally many of each, all their customary forms among them.

    Parameters
    ----------
    count, seed : int
        They decide everything.

    Returns
    -------
    split : Split
    """
    rng = np.random.default_rng([seed, count])
    labels = rng.permutation(np.arange(count, dtype=np.int64) % len(DIGITS))
    return Split(draw(DIGITS, labels, rng), labels)


def draw(
    glyphs: Mapping[str, Sequence[Form]], labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Characters written by hand.

    Parameters
    ----------
    glyphs : mapping of str to forms
        As `lenet.data.drawn.glyphs` holds them; each form of a character is equally likely.
    labels : (N,) int64
        Which of them, by place.
    rng : numpy.random.Generator

    Returns
    -------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
        In a box of 20×20, its centre of mass in the centre.
    """
    images = np.zeros((len(labels), INK_SIZE, INK_SIZE), np.uint8)
    share = rng.random(len(labels))
    for label, forms in enumerate(glyphs.values()):
        form = np.where(labels == label, np.floor(share * len(forms)), -1)
        for number, extremes in enumerate(forms):
            of_form = np.flatnonzero(form == number)
            for first in range(0, len(of_form), _CHUNK):
                chosen = of_form[first : first + _CHUNK]
                images[chosen] = ink_lines(*_write(extremes, len(chosen), rng), rng)
    return images


def _write(extremes: Form, count: int, rng: np.random.Generator) -> tuple[Floats, Strokes]:
    """The way of the pen for `count` characters of one form: (count, points, 2), and its strokes.

    Across and down, a character's height is 1.
    """
    drawings = [[_parse(stroke) for stroke in drawing.split("/")] for drawing in extremes]
    mix = rng.dirichlet(np.full(len(drawings), 0.8), count)
    lines, strokes = [], []
    for number, versions in enumerate(zip(*drawings, strict=True)):
        (first, corners), *_ = versions
        points = np.einsum("cv,vpk->cpk", mix, np.array([points for points, _ in versions]))
        points += rng.normal(0, 2.5, points.shape) + rng.normal(0, 2.0, (count, 1, 2))
        matrix = smooth(first, corners)
        lines.append(np.einsum("lp,cpk->clk", matrix, points))
        strokes.append(np.full(len(matrix), number))
    line = _bend((np.concatenate(lines, 1) - (30, 50)) / 100, rng)
    return line.astype(np.float32), np.concatenate(strokes)


def _parse(stroke: str) -> tuple[NDArray[np.float64], tuple[bool, ...]]:
    """(points, 2) across and down in hundredths of the height, and which of them are corners."""
    words = stroke.split()
    points = [[float(part) for part in word.rstrip("!").split(",")] for word in words]
    return np.array(points), tuple(word.endswith("!") for word in words)


def _bend(lines: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Slant, squeeze, turn and bend each character as a whole."""
    count = len(lines)
    slant = rng.normal(0.08, 0.22, count)
    wide = np.exp(rng.normal(0, 0.2, count))
    turn = rng.normal(0, 0.1, count)
    c, s = np.cos(turn), np.sin(turn)
    shape = np.array([[c * wide, -c * slant - s], [s * wide, c - s * slant]])  # (2, 2, count)
    lines = np.einsum("ijc,cmj->cmi", shape, lines)
    for _ in range(_WAVES):
        wave = rng.normal(0, 0.6, (count, 2))  # periods in a character's height
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        push = rng.normal(0, 0.03, (count, 1, 2))
        angle = 2 * np.pi * np.einsum("cmk,ck->cm", lines, wave) + phase
        lines = lines + push * np.sin(angle)[..., None]
    return lines
