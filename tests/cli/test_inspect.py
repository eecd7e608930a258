"""`lenet summary` and `lenet models`."""

from lenet.checkpoints import pretrained_weights


def test_summary_shows_the_totals(lenet_command):
    result = lenet_command("summary")
    assert result.code == 0
    for total in ("61,706", "60,000", "340,908"):
        assert total in result.out
    only = lenet_command("summary", "--network", "lecun1998", "--json").json
    assert list(only) == ["lecun1998"]
    assert sum(row["parameters"] for row in only["lecun1998"]) == 60_000


def test_models(lenet_command):
    assert lenet_command("models").code == 0
    assert lenet_command("models", "--json").json == pretrained_weights()
