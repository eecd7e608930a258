"""`lenet predict`: files, folders and patterns, and what cannot be read among them."""

from pathlib import Path

import pytest
from PIL import Image


def test_json_has_exactly_the_promised_keys(lenet_command, weights, digit):
    result = lenet_command("predict", digit, "--weights", weights, "--json")
    assert result.code == 0, result.err
    (row,) = result.json
    assert list(row) == ["picture", "label", "probability", "top", "doubts"]
    assert row["picture"] == str(digit)
    assert len(row["top"]) == 3
    assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}


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
