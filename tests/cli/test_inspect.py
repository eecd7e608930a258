"""`lenet summary` and `lenet models`."""

import json

from lenet.checkpoints import pretrained_weights
from lenet.cli.output import show_json


def test_summary_shows_the_totals(lenet_command):
    result = lenet_command("summary")
    assert result.code == 0
    for total in ("61,706", "60,000", "340,908"):
        assert total in result.out
    only = lenet_command("summary", "--network", "lecun1998", "--json").json
    assert list(only) == ["lecun1998"]
    assert sum(row["parameters"] for row in only["lecun1998"]) == 60_000


def test_models_are_a_table_and_each_has_its_card(lenet_command):
    cards = pretrained_weights()
    table = lenet_command("models")
    assert table.code == 0
    rows = {line.split()[0]: line.split() for line in table.out.splitlines() if "kB" in line}
    assert set(rows) == set(cards)
    assert rows["mnist"][1:5] == ["mnist+drawn", "modern", "61,706", "99.46"]
    assert "One handwritten digit" not in table.out
    assert lenet_command("models", "--json").json == cards
    assert "limits: One handwritten digit" in lenet_command("models", "mnist").out
    assert lenet_command("models", "mnist", "--json").json == cards["mnist"]


def test_a_model_that_is_not_there_is_answered_with_the_known_ones(lenet_command):
    result = lenet_command("models", "mnits")
    assert result.code == 2
    assert "did you mean 'mnist'?" in result.err


def test_json_keeps_scripts_and_escapes_what_a_terminal_obeys(capsys):
    value = {"螺栓": "ü", "odd": "\x1b[31m\x9b\u202e\udce9\U000e0001\n"}
    show_json(value)
    out = capsys.readouterr().out
    assert '"螺栓": "ü"' in out
    assert not {"\x1b", "\x9b", "\u202e", "\udce9", "\U000e0001"} & set(out)
    assert json.loads(out) == value
