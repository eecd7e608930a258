"""Which epoch is kept, and what is said of a training's numbers."""

import math

import pytest

from lenet.training.history import Epoch, diagnose, find_gap, overfits


def epoch(number=1, train=0.9, validation=0.9, loss=0.3) -> Epoch:
    return Epoch(number, 0.1, 0.3, train, loss, validation, 1000.0, 1.0 * number)


def test_better_is_fewer_validation_errors_then_the_smaller_loss():
    assert epoch(validation=0.9, loss=2.0).is_better(epoch(validation=0.8, loss=1.0))
    assert not epoch(validation=0.8, loss=1.0).is_better(epoch(validation=0.9, loss=2.0))
    assert epoch(validation=0.9, loss=1.0).is_better(epoch(validation=0.9, loss=2.0))
    assert not epoch(validation=0.9, loss=1.0).is_better(epoch(validation=0.9, loss=1.0))


def test_without_validation_images_the_later_epoch_is_better():
    nothing = epoch(validation=math.nan, loss=math.nan)
    assert nothing.is_better(nothing)
    assert math.isnan(find_gap([nothing]))
    assert not overfits([nothing, nothing])
    assert "No validation part" in diagnose([nothing, nothing])


def test_overfitting_is_a_gap_and_a_validation_loss_that_has_risen():
    risen = [epoch(1, 0.8, 0.8, 0.5), epoch(2, 0.9, 0.88, 0.3), epoch(3, 0.978, 0.907, 0.45)]
    assert overfits(risen)
    assert diagnose(risen) == (
        "Overfits by 7.1 points: after epoch 2 the validation loss rises from 0.300 to 0.450."
    )
    harmless = [epoch(1, 0.8, 0.8, 0.5), epoch(2, 0.95, 0.9, 0.3)]
    assert not overfits(harmless)
    assert "5.0 points ahead" in diagnose(harmless)


@pytest.mark.parametrize(
    ("train", "says"), [(0.9, "end together"), (0.85, "Validation ends 5.0 points ahead")]
)
def test_what_is_no_overfitting_is_not_called_so(train, says):
    history = [epoch(1, train), epoch(2, train)]
    assert not overfits(history)
    assert says in diagnose(history)
