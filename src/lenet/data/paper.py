"""Paper and its uneven light taken away from a grey picture; where the ink is, and how strong.

Nothing here knows how many things are drawn: a line of digits is treated as one digit is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[np.floating[Any]]

_LEAST_CONTRAST = 8  # grey levels between ink and paper
# How fine the pictures are in which ink and light are sought: speed, and little else.
_WORK_SIDE = 400
_LIGHT_SIDE = 64
_WIDEST_STROKE = 0.35  # of the picture's long side


def shrink(grey: NDArray[np.uint8]) -> tuple[Levels, int]:
    """A smaller picture to work on: its longer side has at most 400 pixels.

    Parameters
    ----------
    grey : (H, W) uint8, black = 0, white = 255

    Returns
    -------
    work : (H / factor, W / factor) float32, both rounded up
    factor : int
    """
    factor = -(-max(grey.shape) // _WORK_SIDE)
    return np.array(Image.fromarray(grey).reduce(factor), np.float32), factor


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
    from scipy import ndimage

    height, width = work.shape
    factor = -(-max(height, width) // _LIGHT_SIDE)
    coarse = np.array(Image.fromarray(work).reduce(factor))
    coarse, bowl, inverted = _flattened(coarse)
    if inverted:
        work = -work
    # Closing fills whatever is darker than its surroundings and narrower than the window with the
    # paper around it; a shadow is wider, and stays.
    window = max(3, round(max(coarse.shape) * _WIDEST_STROKE))
    paper = bowl + ndimage.grey_closing(coarse, (window, window), mode="nearest")
    paper = ndimage.gaussian_filter(paper, 1, mode="nearest")
    paper = np.array(Image.fromarray(paper).resize((width, height), Image.Resampling.BILINEAR))
    signal = ndimage.gaussian_filter(paper - work, 0.6)
    return signal - np.median(signal), inverted


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
        spread = 2 * np.median(abs(residual)) + 0.5
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
    from scipy import ndimage

    least = max(_LEAST_CONTRAST, 4 * noise_level(signal))
    candidates = signal > least
    if not candidates.any():
        return None, 0.0
    level = float(np.percentile(signal[candidates], 80))
    # Ink that fades stays connected to ink that does not.
    weak = signal > max(least / 2, 0.35 * level)
    strong = signal > max(least, 0.6 * level)
    labels, count = ndimage.label(weak, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[np.unique(labels[strong])] = True
    kept[0] = False
    mask = kept[labels]
    return (mask, level) if mask.any() else (None, 0.0)


def noise_level(signal: Levels) -> float:
    """Standard deviation of what is noise, in spite of what is not: from the median distance to 0.

    References
    ----------
    Hampel 1974, The influence curve and its role in robust estimation.
    """
    return 1.4826 * float(np.median(abs(signal)))


def border_levels(levels: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels of (H, W), those of the corners twice: (2 H + 2 W,)."""
    return np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])


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
