"""Lines that are no strokes are taken out, and strokes stay whole."""

import numpy as np
import pytest
from drawings import SEVEN, TWO, drawing
from PIL import ImageDraw

from lenet.data.lines import remove_lines
from lenet.data.paper import find_ink, remove_paper

SIZE = (320, 280)
FOUR = ((0.7, 1.0), (0.7, 0.0), (0.0, 0.65), (1.1, 0.65))
ONE = ((0.5, 0.0), (0.5, 1.0))


def page(points=TWO):
    return drawing(SIZE, points, pen=14, at=(100, 70), extent=140)


def ink_of(image):
    signal, _ = remove_paper(np.asarray(image, np.float32))
    mask, _ = find_ink(signal)
    return mask, signal


def left_of(image):
    return remove_lines(*ink_of(image))


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def frame(draw, line):
    draw.rectangle((20, 20, 299, 259), outline=20, width=line)


def flush(draw, line):
    draw.rectangle((0, 0, 319, 279), outline=20, width=line)


def corner(draw, line):
    draw.line((0, 12, 319, 12), fill=20, width=line)
    draw.line((9, 0, 9, 279), fill=20, width=line)


def rules(draw, line):
    for y in range(20, 280, 40):
        draw.line((0, y, 319, y), fill=120, width=line)


def squares(draw, line):
    rules(draw, line)
    for x in range(15, 320, 40):
        draw.line((x, 0, x, 279), fill=120, width=line)


def underline(draw, line):
    draw.line((80, 235, 240, 235), fill=20, width=line)


@pytest.mark.parametrize("lines", [frame, flush, corner, rules, squares, underline])
@pytest.mark.parametrize("line", [2, 4])
@pytest.mark.parametrize("points", [TWO, SEVEN])
def test_lines_go_and_the_digit_stays(lines, line, points):
    expected, _ = ink_of(page(points))
    image = page(points)
    lines(ImageDraw.Draw(image), line)
    if lines in (rules, squares):  # in a printed form the pen goes over the lines
        image = np.minimum(np.asarray(image), np.asarray(page(points)))
    mask, removed = left_of(image)
    assert removed
    assert overlap(mask, expected) > 0.8


@pytest.mark.parametrize("points", [TWO, SEVEN, FOUR, ONE])
@pytest.mark.parametrize("pen", [3, 6, 20])
def test_no_stroke_of_a_digit_is_a_line(points, pen):
    mask, signal = ink_of(drawing(SIZE, points, pen=pen, at=(100, 70), extent=140))
    left, removed = remove_lines(mask, signal)
    assert not removed
    assert left is mask


def test_a_one_in_a_box_stays():
    image = page(ONE)
    frame(ImageDraw.Draw(image), 5)
    mask, removed = left_of(image)
    assert removed
    assert overlap(mask, ink_of(page(ONE))[0]) > 0.9


def test_a_box_with_nothing_in_it_is_what_is_drawn():
    image = drawing(SIZE, ONE, pen=1, ink=235)
    frame(ImageDraw.Draw(image), 5)
    assert not left_of(image)[1]
