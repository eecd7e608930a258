"""Pictures drawn for the tests, and how to compare what became of them."""

import numpy as np
from PIL import Image, ImageDraw

SEVEN = ((0.1, 0.0), (0.9, 0.0), (0.4, 1.0))
TWO = ((0.0, 0.2), (0.3, 0.0), (0.8, 0.1), (0.8, 0.4), (0.0, 1.0), (1.0, 1.0))


def drawing(size=(160, 120), points=SEVEN, pen=8, at=(50, 30), extent=60, ink=20, paper=235):
    """A polyline in grey, drawn four times too large and averaged."""
    big = Image.new("L", (size[0] * 4, size[1] * 4), paper)
    path = [((at[0] + x * extent * 0.7) * 4, (at[1] + y * extent) * 4) for x, y in points]
    draw = ImageDraw.Draw(big)
    draw.line(path, fill=ink, width=pen * 4, joint="curve")
    for x, y in path:
        reach = pen * 2
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=ink)
    return big.reduce(4)


def difference(a, b):
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def cropped_ink(grey):
    """What most do: cut out what is dark, scale its longer side to 20, put it in the middle."""
    dark = grey < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    cut = 255 - grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(cut.shape)
    size = [max(1, round(side * scale)) for side in cut.shape]
    top, left = (28 - size[0]) // 2, (28 - size[1]) // 2
    ink = np.zeros((28, 28), np.uint8)
    small = Image.fromarray(cut).resize(size[::-1])
    ink[top : top + size[0], left : left + size[1]] = small
    return ink
