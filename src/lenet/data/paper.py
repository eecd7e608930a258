"""Paper and its uneven light taken away from a grey picture; where the ink is, and how strong.

Nothing here knows how many things are drawn: a line of digits is treated as one digit is.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.morphology import Levels, blurred, border_levels, closed, find_pieces, opened

_LEAST_CONTRAST = 8  # grey levels between ink and paper
# How fine the pictures are in which ink and light are sought: speed, and little else.
_WORK_SIDE = 400
_TINY_SIDE = 20  # pixels: smaller pictures are enlarged
_LIGHT_SIDE = 64
_ONE_TONE = 0.12  # of the contrast: by as much the grey of evenly lit paper varies
_TWO_TONES = 0.77  # of the variance of the grey levels: a slope of light explains 0.75
_WIDEST_STROKE = 0.35  # of the picture's long side


def shrink(grey: NDArray[np.uint8]) -> tuple[Levels, float]:
    """A picture of a size to work on: its longer side has at most 400 pixels, and not a handful.

    Parameters
    ----------
    grey : (H, W) uint8, black = 0, white = 255

    Returns
    -------
    work : (H / factor, W / factor) float32, both rounded up
    factor : float
        Whole, or a whole number's reciprocal for a tiny picture, which is enlarged.
    """
    image = Image.fromarray(grey)
    if max(image.size) < _TINY_SIDE:
        times = -(-2 * _TINY_SIDE // max(image.size))
        size = (times * image.width, times * image.height)
        enlarged = Image.fromarray(grey.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        return np.clip(np.array(enlarged), 0, 255), 1 / times
    factor = -(-max(image.size) // _WORK_SIDE)
    return np.array(image.reduce(factor), np.float32), factor


def remove_paper(work: Levels) -> tuple[Levels, bool]:
    """Take the paper and its uneven light away.

    Parameters
    ----------
    work : (H, W) float32, black = 0, white = 255
        As `shrink` gives it. Strokes may be up to a third of its longer side wide.

    Returns
    -------
    signal : (H, W) float32
        By how many grey levels the ink differs from the paper around it; paper is near 0.
    inverted : bool
        Whether ink is lighter than paper.
    """
    if (tones := _two_tones(work)) is not None:
        level, inverted = tones
        return blurred(work - level if inverted else level - work, 0.6), inverted
    height, width = work.shape
    # A strip stays as high as it needs to be.
    factor = -(-min(max(height, width), 2 * min(height, width)) // _LIGHT_SIDE)
    coarse = np.array(Image.fromarray(work).reduce(factor))
    coarse, bowl, inverted = _flattened(coarse)
    if inverted:
        work = -work
    # Closing fills whatever is darker than its surroundings and narrower than the window with the
    # paper around it; a shadow is wider, and stays.
    window = round(min(max(coarse.shape) * _WIDEST_STROKE, min(coarse.shape))) // 2 * 2 + 1
    paper = blurred(bowl + closed(coarse, window, window), 1)
    paper = np.array(Image.fromarray(paper).resize((width, height), Image.Resampling.BILINEAR))
    signal = blurred(paper - work, 0.6)
    return signal - paper_level(signal)[0], inverted


def _two_tones(work: Levels) -> tuple[float, bool] | None:
    """Paper's level, and whether ink is lighter, where ink fills the picture; else None.

    A crop around bold ink has as much ink as paper. It is known by its two tones, in shapes that
    are no wider than strokes: a shadow is. Paper is what the border has more of.

    References
    ----------
    Otsu 1979, A threshold selection method from gray-level histograms.
    """
    every = 1 + max(work.shape) // 150
    some = np.clip(work[::every, ::every], 0, 255).astype(np.uint8)
    counts = np.bincount(some.reshape(-1), minlength=256)
    levels = np.arange(256)
    below, sums = np.cumsum(counts), np.cumsum(counts * levels)
    n, total = below[-1], sums[-1]
    between = (total * below - n * sums) ** 2.0 / np.maximum(below * (n - below), 1) / n
    threshold = int(between.argmax())
    spread = (counts * (levels - total / n) ** 2).sum()
    if between[threshold] < _TWO_TONES * spread or between[threshold] == 0:
        return None
    dark = some <= threshold
    inverted = border_levels(dark).mean() > 0.5
    ink = ~dark if inverted else dark
    if not 0.22 < ink.mean() < 0.78:
        return None
    window = round(max(ink.shape) * _WIDEST_STROKE) // 2 * 2 + 1
    wide = min(ink.shape) >= window and opened(ink, window, window).any()
    if wide and border_levels(ink).mean() > _WIDEST_STROKE:
        return None
    paper, level = float(np.median(some[~ink])), float(np.median(some[ink]))
    # Paper under uneven light has more than one tone.
    margin = border_levels(some)[~border_levels(ink)]
    if noise_level(margin - paper) > _ONE_TONE * abs(paper - level):
        return None
    return paper, bool(inverted)


def _flattened(coarse: Levels) -> tuple[Levels, Levels, bool]:
    """Fit the light by a bowl; the outliers are ink, and tell whether it is light on dark.

    Returns
    -------
    rest, bowl : (H, W)
        Their sum is `coarse`, or −`coarse` where ink is lighter than paper: ink is low.
    inverted : bool
    """
    height, width = coarse.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    x_powers, y_powers = (1, x, x * x, x * x * x), (1, y, y * y, y * y * y)
    terms = np.stack(
        [x_powers[i] * y_powers[j] * np.ones_like(x) for i in range(4) for j in range(4 - i)], -1
    )  # (H, W, 10)
    # Paper is most likely at the border: the fit starts there. A quarter of the points will do.
    border = np.maximum(abs(x), abs(y)) > 0.8
    some = (slice(None, None, 2), slice(None, None, 2))
    fit = _robust_fit(
        terms[some].reshape(-1, terms.shape[-1]),
        coarse[some].reshape(-1),
        start=float(np.median(coarse[border])),
    )
    bowl = (terms @ fit).astype(np.float32)
    rest = coarse - bowl
    if (rest**3).sum() > 0:
        return -rest, -bowl, True
    return rest, bowl, False


def _robust_fit(terms: Levels, levels: Levels, start: float | None = None) -> Levels:
    """Coefficients of a least-squares fit that gives up on outliers (iterated weights)."""
    residual = levels - (np.median(levels) if start is None else start)
    ridge = 1e-6 * np.eye(terms.shape[1])
    for _ in range(8):
        spread = 2 * _median(abs(residual)) + 0.5
        weighted = (terms / ((1 + (residual / spread) ** 2) ** 2)[:, None]).T
        fit = np.linalg.solve(weighted @ terms + ridge, weighted @ levels)
        residual = levels - terms @ fit
    return np.asarray(fit)


def find_ink(signal: Levels) -> tuple[NDArray[np.bool_] | None, float]:
    """Where the ink is, and how strong.

    Parameters
    ----------
    signal : (H, W) float
        As `remove_paper` gives it.

    Returns
    -------
    mask : (H, W) bool, or None
        Everything that stands out, specks too; None when nothing does.
    level : float
        Grey levels between ink and paper.
    """
    least = max(_LEAST_CONTRAST, 4 * paper_level(signal)[1])
    candidates = signal > least
    if not candidates.any():
        return None, 0.0
    strengths = signal[candidates]
    level = float(np.percentile(strengths[:: 1 + len(strengths) // 4000], 80))
    # Ink that fades stays connected to ink that does not.
    weak = signal > max(least / 2, 0.35 * level)
    strong = signal > max(least, 0.6 * level)
    pieces = find_pieces(weak)
    mask = pieces.mask(pieces.touching(strong))
    return (mask, level) if mask.any() else (None, 0.0)


def _median(values: Levels) -> float:
    """The upper one of two; `np.median` takes twice as long to check for what cannot be here."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


def paper_level(signal: Levels) -> tuple[float, float]:
    """Level and noise of the paper, however much of the picture is ink.

    Paper is the lowest peak of the signal. From the lowest quarter of all values, those that are
    within three standard deviations are taken in, until there are no more.

    Returns
    -------
    level, noise : float
        Median and standard deviation of what is paper.
    """
    # Some thousand of the points, such that lines at equal distances are not met too often.
    step = 1 + signal.size // 8000
    while math.gcd(step, signal.shape[1]) > 1:
        step += 1
    values = np.sort(signal.reshape(-1)[::step])
    count = max(1, len(values) // 4)
    while True:
        paper = values[:count]
        level = float(paper[count // 2])
        noise = noise_level(paper - level)
        grown = int(np.searchsorted(values, level + 3 * noise + 0.5, side="right"))
        if grown <= count:
            # Where light that was not taken away leads from paper to ink, all of it was taken in.
            return level, min(noise, noise_level(values - level))
        count = grown


def noise_level(signal: Levels) -> float:
    """Standard deviation of what is noise, in spite of what is not: from the median distance to 0.

    References
    ----------
    Hampel 1974, The influence curve and its role in robust estimation.
    """
    return 1.4826 * _median(abs(signal))


def fit_border(work: Levels) -> Levels:
    """Paper that brightens evenly from one side to another, judged by the border alone.

    Parameters
    ----------
    work : (H, W) float32, black = 0, white = 255

    Returns
    -------
    paper : (H, W) float32, 1 … 254
    """
    height, width = work.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] + np.zeros(width, np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32) + np.zeros((height, 1), np.float32)
    terms = np.stack(
        [np.ones_like(border_levels(x)), border_levels(x), border_levels(y)], -1
    ).astype(np.float64)
    a, b, c = _robust_fit(terms, border_levels(work).astype(np.float64))
    return np.asarray(np.clip(a + b * x + c * y, 1, 254), np.float32)
