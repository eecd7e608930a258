"""`lenet predict`: files, folders and patterns, and what cannot be read among them."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image


def test_json_has_exactly_the_promised_keys(lenet_command, weights, digit):
    result = lenet_command("predict", digit, "--weights", weights, "--json")
    assert result.code == 0, result.err
    (row,) = result.json
    assert list(row) == ["picture", "label", "probability", "known", "top", "doubts", "notes"]
    assert row["picture"] == str(digit)
    assert len(row["top"]) == 3
    assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}


def test_what_cannot_be_promised_is_refused_and_what_is_rejected_has_no_label(
    lenet_command, weights, digit
):
    refused = lenet_command("predict", digit, "--weights", weights, "--reject", 0.00001)
    assert refused.code == 2
    assert "at best" in refused.err
    # Two epochs of the tutorial network leave a third of the digits wrong.
    rejected = lenet_command("predict", digit, "--weights", weights, "--reject", 0.1, "--json")
    (row,) = rejected.json
    assert row["label"] is None
    assert row["doubts"][-1]["name"] == "rejected"
    text = lenet_command("predict", digit, "--weights", weights, "--reject", 0.1)
    assert text.out.startswith(f"{digit}: no answer  (")


def test_top(lenet_command, weights, digit):
    result = lenet_command("predict", digit, "--weights", weights, "--top", 10, "--json")
    assert len(result.json[0]["top"]) == 10
    assert lenet_command("predict", digit, "--weights", weights, "--top", 0).code == 2


def test_explain_draws_a_picture(lenet_command, weights, digit, tmp_path):
    result = lenet_command(
        "predict", digit, "--weights", weights, "--explain", tmp_path / "why.png"
    )
    assert result.code == 0, result.err
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.size[0] > 800
    two = lenet_command(
        "predict", digit, digit, "--weights", weights, "--explain", tmp_path / "no.png"
    )
    assert two.code == 2
    assert not (tmp_path / "no.png").exists()


def test_folders_and_patterns(lenet_command, weights, digit):
    with Image.open(digit) as drawn:
        drawn.save(digit.with_name("two.jpg"))
    digit.with_name("notes.txt").write_text("no picture")
    for where in (digit.parent, digit.parent / "*.[pj]*g"):
        result = lenet_command("predict", where, "--weights", weights, "--json")
        assert result.code == 0, result.err
        assert [Path(row["picture"]).name for row in result.json] == ["one.png", "two.jpg"]


def test_unreadable_files_are_reported_and_the_rest_done(lenet_command, weights, digit):
    broken = digit.with_name("broken.png")
    broken.write_bytes(b"no picture")
    result = lenet_command("predict", broken, digit, "--weights", weights, "--json")
    assert result.code == 1
    assert list(result.json[0]) == ["picture", "error"]
    assert result.json[1]["label"]
    assert result.err.count("lenet: ") == 1
    text = lenet_command("predict", broken, digit, "--weights", weights)
    assert text.code == 1
    assert text.out.startswith(f"{digit}: ")


def test_a_name_cannot_steer_the_terminal(lenet_command, weights, digit):
    odd = digit.with_name("a\x1b[31m\nb.png")
    try:
        digit.rename(odd)
    except OSError:
        pytest.skip("this file system has no such names")
    for result in (
        lenet_command("predict", odd, "--weights", weights),
        lenet_command("predict", str(odd) + "x", "--weights", weights),
    ):
        assert "\x1b" not in result.out + result.err
        assert len(result.err.splitlines()) <= 1


def test_where_nothing_is_found_no_label_is_printed(lenet_command, weights, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("L", (60, 60), 220).save(blank)
    text = lenet_command("predict", blank, "--weights", weights)
    assert text.out.splitlines()[0] == f"{blank}: nothing found"
    (row,) = lenet_command("predict", blank, "--weights", weights, "--json").json
    assert list(row) == ["picture", "label", "probability", "known", "top", "doubts", "notes"]
    assert (row["label"], row["probability"], row["top"]) == (None, 0, [])
    assert row["doubts"][0]["name"] == "nothing-there"


def test_an_answer_is_all_that_is_said(lenet_command, weights, digit):
    assert lenet_command("predict", digit, "--weights", weights).err == ""


@pytest.fixture
def scans(digit, tmp_path):
    """A folder with one picture, others below it, and files that are none."""
    folder = tmp_path / "scans"
    for place in ("a.png", "b/c.png", "b/d/e.png", ".hidden/f.png", "__MACOSX/g.png"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digit, folder / place)
    for name in ("notes.txt", "IMG_1.HEIC", ".DS_Store"):
        (folder / name).write_text("no picture")
    return folder


def test_what_a_folder_holds_besides_is_said(lenet_command, weights, scans):
    result = lenet_command("predict", scans, "--weights", weights, "--json")
    assert result.code == 0
    assert [row["picture"] for row in result.json] == [str(scans / "a.png")]
    assert result.err.splitlines() == [
        f"note: {scans}: 1 subfolder was passed over; --recursive reads them",
        f"note: {scans}: 2 files that are no pictures were passed over (IMG_1.HEIC, notes.txt); "
        f"for HEIC export as JPEG, or pip install pillow-heif",
    ]


def test_subfolders_are_read_when_asked(lenet_command, weights, scans):
    result = lenet_command("predict", scans, "--recursive", "--weights", weights, "--json")
    found = [Path(row["picture"]).relative_to(scans).as_posix() for row in result.json]
    assert found == ["a.png", "b/c.png", "b/d/e.png"]
    assert "--recursive" not in result.err


def test_a_picture_comes_from_standard_input(lenet_command, weights, digit, monkeypatch):
    with digit.open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        result = lenet_command("predict", "-", "--weights", weights, "--json")
    (row,) = result.json
    expected = lenet_command("predict", digit, "--weights", weights, "--json").json[0]
    assert row == {**expected, "picture": "-"}


def test_a_closed_standard_input_holds_no_picture(lenet_command, weights, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    result = lenet_command("predict", "-", "--weights", weights)
    assert (result.code, result.err) == (2, "lenet: these bytes: empty\n")


def test_a_folder_s_pictures_are_those_that_a_training_reads(
    lenet_command, weights, digit, tmp_path
):
    with Image.open(digit) as picture:
        grey = picture.convert("L")
    digit.unlink()
    for name, kind in (("a.jfif", "JPEG"), ("b.dib", "BMP"), ("c.pnm", "PPM")):
        grey.save(tmp_path / name, kind)
    result = lenet_command("predict", tmp_path, "--weights", weights, "--json")
    assert [Path(row["picture"]).name for row in result.json] == ["a.jfif", "b.dib", "c.pnm"]
    assert result.err == ""


@pytest.mark.parametrize("place", ["https://example.com/x.png", "ftp://example.com/x.png"])
def test_an_address_is_not_a_file(lenet_command, weights, place):
    result = lenet_command("predict", place, "--weights", weights)
    assert result.code == 2
    assert result.err == (
        f"lenet: {place}: an address; download the picture first, give its path\n"
    )


def test_an_explanation_is_a_png(lenet_command, weights, digit, tmp_path):
    target = tmp_path / "why.jpg"
    result = lenet_command("predict", digit, "--weights", weights, "--explain", target)
    assert result.code == 2
    assert f"--explain writes PNG; give {tmp_path / 'why.png'}" in result.err
    assert not target.exists()


def test_a_long_work_says_how_far_it_is(lenet_command, weights, digit, monkeypatch):
    monkeypatch.setattr("lenet.cli.predict._EVERY", -1.0)
    result = lenet_command("predict", *[digit] * 3, "--weights", weights, "--json")
    assert [line.split(" pictures")[0] for line in result.err.splitlines()] == [
        "0 of 3", "1 of 3", "2 of 3",
    ]  # fmt: skip
