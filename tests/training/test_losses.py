"""The losses against Eqs. (8) and (9) written out."""

import math

import pytest
import torch
from torch.nn import functional

from lenet.errors import InputError
from lenet.training.losses import LOSSES, build_loss, maximum_a_posteriori, mean_square

SCORES = -torch.tensor([[1.0, 2.5, 4.0], [3.0, 0.5, 0.25]])
LABELS = torch.tensor([0, 1])


def test_equation_8():
    assert mean_square(SCORES, LABELS).item() == pytest.approx((1.0 + 0.5) / 2)


def test_equation_9():
    j = 0.7
    expected = 0.0
    for penalties, label in ((-SCORES[0], 0), (-SCORES[1], 1)):
        total = math.exp(-j) + sum(math.exp(-y) for y in penalties.tolist())
        expected += (penalties[label].item() + math.log(total)) / 2
    assert maximum_a_posteriori(SCORES, LABELS, j).item() == pytest.approx(expected, rel=1e-6)


def test_equation_9_is_cross_entropy_with_one_more_class():
    rubbish = torch.cat([SCORES, torch.full((2, 1), -0.7)], 1)
    torch.testing.assert_close(
        maximum_a_posteriori(SCORES, LABELS, 0.7), functional.cross_entropy(rubbish, LABELS)
    )


def test_penalties_far_beyond_underflow_keep_their_gradient():
    scores = torch.tensor([[-900.0, -1000.0]], requires_grad=True)
    loss = maximum_a_posteriori(scores, torch.tensor([1]), 2000.0)
    loss.backward()
    assert loss.item() == pytest.approx(100)
    assert scores.grad.tolist() == [pytest.approx([1.0, -1.0])]


def test_a_small_j_pulls_where_competition_no_longer_does():
    # The right class has won by far: cross-entropy is done, Eq. (9) still wants y_D below j.
    scores = -torch.tensor([[20.0, 200.0]])
    assert functional.cross_entropy(scores, torch.tensor([0])).item() == pytest.approx(0)
    assert maximum_a_posteriori(scores, torch.tensor([0]), 1.0).item() == pytest.approx(
        19, rel=1e-6
    )


@pytest.mark.parametrize("j", [0.0, -1.0, math.nan])
def test_j_is_positive(j):
    with pytest.raises(InputError, match="positive"):
        maximum_a_posteriori(SCORES, LABELS, j)


def test_losses_by_name():
    values = {name: build_loss(name)(SCORES, LABELS).item() for name in LOSSES}
    assert len(set(values.values())) == 3
    assert values["cross-entropy"] == pytest.approx(functional.cross_entropy(SCORES, LABELS).item())
    smoothed = build_loss("cross-entropy", label_smoothing=0.1)(SCORES, LABELS)
    torch.testing.assert_close(
        smoothed, functional.cross_entropy(SCORES, LABELS, label_smoothing=0.1)
    )
    assert build_loss("map", rubbish_penalty=5.0)(SCORES, LABELS).item() != values["map"]


def test_what_a_loss_cannot_do_is_refused():
    with pytest.raises(InputError, match="hinge"):
        build_loss("hinge")
    with pytest.raises(InputError, match="label smoothing"):
        build_loss("map", label_smoothing=0.1)
