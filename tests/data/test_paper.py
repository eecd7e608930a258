"""Paper and light are taken away, whatever is drawn and however many things there are."""

import numpy as np
import pytest
from drawings import SEVEN, TWO, drawing
from scipy import ndimage

from lenet.data.paper import border_levels, find_ink, fit_border, remove_paper


def line_of(*digits, **options):
    """Drawings side by side: (120, 160 n) float32."""
    return np.hstack([np.asarray(drawing(points=points, **options)) for points in digits]).astype(
        np.float32
    )


def test_many_digits_are_all_found():
    signal, inverted = remove_paper(line_of(SEVEN, TWO, SEVEN))
    mask, level = find_ink(signal)
    assert not inverted
    assert ndimage.label(mask, np.ones((3, 3)))[1] == 3
    assert level == pytest.approx(235 - 20, rel=0.1)


def test_the_negative_is_told_from_the_picture_and_gives_the_same_ink():
    grey = line_of(TWO, SEVEN)
    (signal, inverted), (other, other_inverted) = remove_paper(grey), remove_paper(255 - grey)
    assert (inverted, other_inverted) == (False, True)
    assert np.array_equal(find_ink(signal)[0], find_ink(other)[0])


def overlap(found, drawn):
    """What both have of what either has."""
    return (found & drawn).sum() / (found | drawn).sum()


def test_ink_is_found_under_light_that_no_threshold_can_cope_with():
    grey = line_of(TWO, SEVEN, ink=90)
    light = np.linspace(1, 0.3, grey.shape[1], dtype=np.float32)
    mask, _ = find_ink(remove_paper(grey * light)[0])
    drawn = grey < 160
    assert overlap(mask, drawn) > 0.9
    assert max(overlap(grey * light < level, drawn) for level in range(256)) < 0.5


def test_blank_paper_has_no_ink():
    blank = np.full((100, 300), 200, np.float32)
    assert find_ink(remove_paper(blank)[0]) == (None, 0.0)


def test_a_plane_of_light_is_recovered_from_its_border_in_spite_of_what_touches_it():
    rows, columns = np.mgrid[:50, :80].astype(np.float32)
    plane = 100 + rows + 0.5 * columns
    grey = plane.copy()
    grey[20:50, 30:40] = 5  # reaches the lower edge
    assert np.abs(fit_border(grey) - plane).max() < 1
    assert border_levels(grey).shape == (2 * 50 + 2 * 80,)
