"""Paper is known from what lies around it by its shape."""

import numpy as np
import pytest
from drawings import SEVEN, TWO, drawing
from PIL import Image, ImageDraw

from lenet.data.sheet import cut_to_sheet


def sheet(points=TWO, paper=235, ink=20):
    """(160, 200), and the ink well inside."""
    image = drawing((200, 160), points, pen=10, at=(70, 40), extent=80, ink=ink, paper=paper)
    return np.asarray(image, np.float32)


def lying_on(level, page, top=90, left=60):
    desk = np.full((400, 380), level, np.float32)
    desk[top : top + page.shape[0], left : left + page.shape[1]] = page
    return desk


@pytest.mark.parametrize("level", [0, 40, 90, 140, 190, 255])
def test_a_sheet_on_a_desk_is_cut_out(level):
    paper, ink = (235, 20) if level < 200 else (170, 20)
    page = sheet(paper=paper, ink=ink)
    cut, box, is_cut = cut_to_sheet(lying_on(level, page))
    assert is_cut
    assert box == pytest.approx((90, 60, 250, 260), abs=4)
    assert abs(np.median(cut) - paper) < 2


def test_padding_is_cut_away_however_narrow_the_margin():
    page = sheet()[30:130, 55:145]
    for pad in (((40, 40), (40, 40)), ((0, 0), (50, 60))):
        padded = np.pad(page, pad)
        _, box, is_cut = cut_to_sheet(padded)
        assert is_cut
        inner = pad[0][0], pad[1][0], pad[0][0] + len(page), pad[1][0] + page.shape[1]
        assert box == pytest.approx(inner, abs=4)


def test_a_turned_sheet_is_painted_on_to_the_corners_of_its_box():
    desk = Image.fromarray(lying_on(60, sheet(), 120, 90)).rotate(20, fillcolor=60)
    cut, _, is_cut = cut_to_sheet(np.asarray(desk))
    assert is_cut
    assert abs(cut[[0, 0, -1, -1], [0, -1, 0, -1]] - 235).max() < 30


def test_a_dark_square_on_a_page_is_the_paper_when_the_ink_is_in_it():
    page = lying_on(255, sheet(paper=0, ink=255))
    cut, _, is_cut = cut_to_sheet(page)
    assert is_cut
    assert np.median(cut) < 5


@pytest.mark.parametrize("points", [SEVEN, TWO])
def test_a_plain_page_is_whole(points):
    page = sheet(points)
    cut, box, is_cut = cut_to_sheet(page)
    assert not is_cut
    assert cut is page
    assert box == (0, 0, *page.shape)


def test_a_bold_nought_is_no_sheet_and_its_hole_no_ink():
    page = Image.new("L", (260, 300), 235)
    ImageDraw.Draw(page).rounded_rectangle((60, 40, 200, 260), 40, fill=20)
    ImageDraw.Draw(page).rectangle((105, 90, 155, 210), fill=235)
    assert not cut_to_sheet(np.asarray(page, np.float32))[2]


def test_a_shadow_is_no_sheet():
    light = np.where(np.arange(200) < 100, 1.0, 0.5)[None, :].astype(np.float32)
    assert not cut_to_sheet(sheet() * light)[2]
