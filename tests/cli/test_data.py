"""`lenet data`: which data sets are here, and whether they are whole."""

from drawn_folders import draw_folder


def test_what_is_here_and_what_is_missing(lenet_command, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_CACHE", str(tmp_path))
    monkeypatch.delenv("LENET_DATA", raising=False)
    states = {row["name"]: row["state"] for row in lenet_command("data", "list", "--json").json}
    assert states == {
        "digits": "ready",
        "mnist": "missing",
        "mnist+drawn": "missing",
        "fashion-mnist": "missing",
    }
    assert "missing" in lenet_command("data", "list").out
    assert lenet_command("data", "verify").code == 0
    assert lenet_command("data", "verify", "mnist").code == 1
    assert lenet_command("data", "get", "digits").out == "digits is built in\n"


def test_published_files_verify(lenet_command, mnist):
    result = lenet_command("data", "verify", "mnist")
    assert result.code == 0
    assert result.out.count("verified") == 4
    assert lenet_command("data", "get", "mnist").out.count("mnist") >= 4


def test_a_folder_is_looked_through_without_training(lenet_command, tmp_path):
    draw_folder(tmp_path / "parts", "parts", count=12, longest=200)
    (tmp_path / "parts" / "bolt" / "notes.txt").write_text("no picture")
    result = lenet_command("data", "check", tmp_path / "parts")
    assert result.code == 0
    assert result.out.startswith("parts: one subfolder of pictures per class; pictures prepared as")
    assert [line.split() for line in result.out.splitlines() if line.startswith("  all ")] == [
        ["all", "26", "3", "7"]
    ]
    assert "1 file that is no picture was passed over: notes.txt." in result.err
    assert "Pictures are cropped to the object" in result.err
    found = lenet_command("data", "check", tmp_path / "parts", "--json").json
    assert found["class_names"] == ["bolt", "nut", "washer"]
    assert {name: sum(n) for name, n in found["images"].items()} == {
        "train": 26,
        "validation": 3,
        "test": 7,
    }
    (tmp_path / "parts" / "nut" / "003.jpg").write_bytes(b"no picture")
    assert "003.jpg" in lenet_command("data", "check", tmp_path / "parts").err
    assert lenet_command("data", "check", tmp_path / "parts", "--skip-damaged").code == 0


def test_a_data_set_with_a_name_is_shown_too(lenet_command):
    assert lenet_command("data", "check", "digits").out.startswith("digits: a data set with a name")
