"""`lenet reproduce`, on few patterns."""


def test_goes_the_whole_way_on_few_patterns(lenet_command, mnist, tmp_path):
    assert len(mnist.test) == 10000
    result = lenet_command(
        "reproduce", "--seeds", 2, "--passes", 1, "--subset", 600, "--out", tmp_path, "--json"
    )
    assert result.code == 0, result.err
    keys = ("seeds", "passes", "patterns", "seconds", "test_error_percent",
            "train_error_percent", "paper")  # fmt: skip
    assert list(result.json)[: len(keys)] == list(keys)
    assert (result.json["seeds"], result.json["patterns"]) == (2, 600)
    assert len(result.json["test_error_percent"]["values"]) == 2
    assert "pass  1.0/1" in result.err


def test_refuses_no_seeds(lenet_command, tmp_path):
    result = lenet_command("reproduce", "--seeds", 0, "--out", tmp_path)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
