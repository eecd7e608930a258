"""`lenet data`: which data sets are here, and whether they are whole."""


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
