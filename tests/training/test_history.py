"""Which epoch is kept, and how far training and validation are apart."""

import math

from lenet.training.history import Epoch, State, find_gap, overfits


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


def test_a_state_says_in_a_line_how_far_it_is():
    some = (epoch(1, validation=0.5), epoch(2, validation=0.25))
    assert repr(State(some, 1, {})) == "<State after epoch 2, best 1, validation accuracy 50.00%>"


def test_overfitting_is_a_gap_and_a_validation_loss_that_has_risen():
    risen = [epoch(1, 0.8, 0.8, 0.5), epoch(2, 0.9, 0.88, 0.3), epoch(3, 0.978, 0.907, 0.45)]
    assert overfits(risen)
    assert not overfits([epoch(1, 0.8, 0.8, 0.5), epoch(2, 0.95, 0.9, 0.3)])
    assert not overfits([epoch(1), epoch(2)])
