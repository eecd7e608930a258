"""The 7×12 codes against what the paper's Fig. 3 shows of them."""

import hashlib

import numpy as np
import pytest

from lenet.errors import InputError
from lenet.networks.codes import COLUMNS, DIGITS, ROWS, bitmaps, encode


def distances() -> np.ndarray:
    digits = encode()
    return (digits[:, None] != digits[None]).sum(-1)


def test_there_are_96_characters_of_twelve_rows_of_seven():
    assert len(bitmaps()) == 96
    for rows in bitmaps().values():
        assert len(rows) == ROWS
        assert all(len(row) == COLUMNS and set(row) <= {"#", "."} for row in rows)


def test_the_digits_are_the_ones_printed():
    flat = "\n".join("".join(bitmaps()[digit]) for digit in DIGITS)
    assert (
        hashlib.sha256(flat.encode()).hexdigest()
        == "c479be39194da2dff90655ef83b04d3aaea09e4cd3521e16d4815d9ebfbef8ec"
    )


def test_a_code_is_its_bitmap_row_by_row():
    code = encode("7")
    assert code.shape == (1, ROWS * COLUMNS)
    assert code.dtype == np.float32
    drawn = "".join("#" if value == 1 else "." for value in code[0])
    assert drawn == "".join(bitmaps()["7"])
    assert set(code[0].tolist()) == {-1.0, 1.0}


def test_hamming_distances_of_the_digits():
    pairs = sorted((int(distances()[i, j]), f"{i}{j}") for i in range(10) for j in range(i + 1, 10))
    assert pairs[0] == (12, "68")
    assert pairs[1:3] == [(18, "04"), (18, "89")]
    assert pairs[3][0] > 18
    assert pairs[-1][0] == 50


def test_an_unknown_character_is_named():
    with pytest.raises(InputError, match="é"):
        encode("1é")
