"""A table of files and labels beside pictures is a data set."""

import numpy as np
import pytest
from PIL import Image

from lenet.data.datasets import load_dataset
from lenet.errors import DataError

RNG = np.random.default_rng(0)


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (30, 20), dtype=np.uint8)).save(path)


@pytest.fixture
def rows(tmp_path):
    """40 pictures in a folder beside the table; two classes."""
    found = [(f"{i:02}.png", ("ham", "spam")[i % 2]) for i in range(40)]
    for file, _ in found:
        draw(tmp_path / "images" / file)
    return found


def write(path, header, rows, delimiter=","):
    lines = [delimiter.join(header), *(delimiter.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("header", [("file", "label"), ("Filename", "Class"), ("image", "target")])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_found_by_their_names(tmp_path, rows, header, delimiter):
    write(tmp_path / "labels.csv", header, rows, delimiter)
    splits = load_dataset(tmp_path)
    assert splits.class_names == ("ham", "spam")
    assert np.bincount(splits.test.labels).tolist() == [4, 4]
    assert splits.remarks[0] == (
        f"Labels were read from labels.csv, columns {header[0]} and {header[1]}."
    )
    assert splits.sha256 == load_dataset(tmp_path / "labels.csv").sha256


def test_paths_numbers_and_parts(tmp_path, rows):
    table = [
        (f"images/{file}", str(7 + 3 * (label == "spam")), ("train", "Test")[i > 29])
        for i, (file, label) in enumerate(rows)
    ]
    write(tmp_path / "all.csv", ("path", "label", "split"), table)
    splits = load_dataset(tmp_path)
    assert splits.class_names == ("7", "10")
    assert len(splits.test) == 10


def test_a_table_without_such_columns_is_passed_over(tmp_path):
    for i in range(12):
        draw(tmp_path / "ab"[i % 2] / f"{i}.png")
    write(tmp_path / "prices.csv", ("name", "price"), [("a", "1")])
    splits = load_dataset(tmp_path)
    assert splits.class_names == ("a", "b")
    assert splits.remarks[0] == "1 file that is no picture was passed over: prices.csv."


def test_missing_files_are_named_all_at_once(tmp_path, rows):
    gone = [(f"gone-{i:02}.png", "ham") for i in range(12)]
    write(tmp_path / "labels.csv", ("file", "label"), [*rows, *gone])
    with pytest.raises(DataError, match=r"names 12 files that are not there: gone-00.* 2 more"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("00.png", "spam"), r"00\.png has two labels, ham and spam"),
        (("00.png", ""), "row 42 lacks its file or its label"),
        (("../secret.png", "ham"), r"not there: \.\./secret\.png"),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, rows, more, message):
    draw(tmp_path.parent / "secret.png")
    write(tmp_path / "labels.csv", ("file", "label"), [*rows, more])
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'file,label\n"{"x" * 200_000}",ham\n', "is no table: field larger"),
        (f"file,label,{'x' * 200_000}\n", "is no table: field larger"),
        ("file,label\n", "has no rows"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_a_picture_that_is_named_twice_counts_once(tmp_path, rows):
    write(tmp_path / "labels.csv", ("file", "label"), [*rows, rows[0]])
    splits = load_dataset(tmp_path)
    assert sum(len(splits.part(name)) for name in ("train", "validation", "test")) == 40
    assert "labels.csv names 1 of its pictures twice; once is enough." in splits.remarks


def test_two_tables_are_refused(tmp_path, rows):
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, ("file", "label"), rows)
    with pytest.raises(DataError, match="2 tables of labels"):
        load_dataset(tmp_path)


def test_pictures_that_no_row_names_are_counted_and_named(tmp_path, rows):
    write(tmp_path / "labels.csv", ("file", "label"), rows[:-1])
    assert load_dataset(tmp_path).remarks[1] == (
        "1 picture is not in labels.csv and left out: images/39.png."
    )
    for i in range(6):
        draw(tmp_path / f"beside{i}.png")
    assert load_dataset(tmp_path).remarks[1] == (
        "7 pictures are not in labels.csv and left out: beside0.png; beside1.png; beside2.png; "
        "beside3.png; beside4.png; and 2 more."
    )


def test_a_table_that_names_all_pictures_leaves_nothing_out(tmp_path, rows):
    write(tmp_path / "labels.csv", ("file", "label"), rows)
    assert not [remark for remark in load_dataset(tmp_path).remarks if "left out" in remark]
