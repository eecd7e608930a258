"""The printed schedule, and what an experiment may be."""

import pytest

from lenet.errors import InputError
from lenet.reproduction import DISTORTIONS, LEARNING_RATES, Experiment
from lenet.reproduction.experiment import Settings


def test_the_printed_schedule():
    assert LEARNING_RATES == (
        (0.0005,) * 2 + (0.0002,) * 3 + (0.0001,) * 3 + (0.00005,) * 4 + (0.00001,) * 8
    )


@pytest.mark.parametrize(
    "wrong", [{"seeds": 0}, {"passes": 0}, {"passes": 21}, {"subset": 0}, {"mu": 0.0}], ids=str
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Experiment(**wrong)


def test_names_say_what_was_run():
    assert Experiment().name == "plain"
    assert Experiment(subset=15_000, distortions=DISTORTIONS).name == "distorted-15000"


@pytest.mark.parametrize("distortions", [None, DISTORTIONS], ids=str)
def test_settings_survive_the_round_trip(distortions):
    settings = Experiment(distortions=distortions, rubbish_penalty=None, mu=0.02).settings
    assert (settings.distortions, settings.rubbish_penalty, settings.mu) == (
        distortions,
        None,
        0.02,
    )
    assert Settings.from_dict(settings.to_dict()) == settings
