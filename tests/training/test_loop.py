"""The training loop: what it learns from, what it keeps, and that it can stop and go on."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional

from lenet.data.datasets import load_dataset
from lenet.data.distortions import Distortions
from lenet.data.splits import Split, Splits
from lenet.engines import Engine, select_engine
from lenet.errors import DataError, InputError, LenetError
from lenet.networks import build_network
from lenet.training import loop
from lenet.training.loop import train
from lenet.training.losses import balance
from lenet.training.optimizers import choose_optimizer
from lenet.training.recipes import Recipe

PLAIN = Recipe("plain", epochs=3, learning_rate=0.002, batch_size=64, initialization="kaiming")
RICH = dataclasses.replace(
    PLAIN,
    optimizer="adamw",
    schedule="one-cycle",
    distortions=Distortions(shift=1, rotate=0.1),
    weight_decay=0.01,
    label_smoothing=0.05,
    weight_average=0.9,
    pixels="standardized",
)
OPTIONS = {"batch_norm": True, "dropout": 0.25}


@pytest.fixture(scope="module")
def digits() -> Splits:
    """A quarter of the built-in digits: enough to learn something, quick."""
    splits = load_dataset("digits")
    few = slice(0, 330)
    train_part = Split(splits.train.images[few], splits.train.labels[few])
    return dataclasses.replace(splits, train=train_part)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return select_engine("torch", "cpu")


class Watching(Engine):
    """An engine that notes what it is asked to gather and to score."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.device, engine.notice)
        object.__setattr__(self, "batches", [])
        object.__setattr__(self, "scored", [])

    def gather(self, ink, indices, preprocessing, matrices=None):
        self.batches.append(indices.tolist())
        return super().gather(ink, indices, preprocessing, matrices)

    def scores(self, module, ink, preprocessing):
        self.scored.append(ink)
        before = len(self.batches)
        scores = super().scores(module, ink, preprocessing)
        del self.batches[before:]
        return scores


def trained(splits, recipe, engine, name="modern", *, state=None, on_epoch=None, **options):
    """A new network with the best weights of its training, and the state at the end."""
    network = build_network(name, **options)
    return network, train(network, splits, recipe, engine=engine, state=state, on_epoch=on_epoch)


def same(a, b) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_it_learns(digits, engine):
    recipe = dataclasses.replace(RICH, epochs=8)
    network, state = trained(digits, recipe, engine)
    assert state.best.validation_accuracy > 0.8
    assert state.history[-1].validation_loss < state.history[0].validation_loss
    assert not network.training


def test_every_image_is_seen_once_an_epoch_in_a_new_order(digits, engine):
    """Others dropped the last partial batch, or shuffled on one device only."""
    watching = Watching(engine)
    train(build_network("modern"), digits, PLAIN, engine=watching)
    steps = math.ceil(330 / 64)
    assert len(watching.batches) == PLAIN.epochs * steps
    orders = []
    for epoch in range(PLAIN.epochs):
        batches = watching.batches[epoch * steps : (epoch + 1) * steps]
        assert [len(batch) for batch in batches] == [64] * 5 + [10]
        orders.append([index for batch in batches for index in batch])
        assert Counter(orders[-1]) == Counter(range(330))
    assert orders[0] != orders[1] != orders[2]


def test_an_image_of_the_last_partial_batch_counts_as_much_as_any(digits, engine, monkeypatch):
    """Others gave the one image of a short batch the weight of a whole batch."""
    five = Split(digits.train.images[:5], digits.train.labels[:5])
    few = dataclasses.replace(
        digits, train=five, validation=Split(five.images[:0], five.labels[:0])
    )
    # So small a rate that the weights of the last step are, but for rounding, the first ones.
    recipe = dataclasses.replace(PLAIN, optimizer="sgd", epochs=1, batch_size=4, learning_rate=1e-9)
    gradients = []

    def watched(recipe, parameters):
        optimizer = choose_optimizer(recipe, parameters)
        step = optimizer.step
        # One tensor holds all parameters; the output's biases are the last of them.
        optimizer.step = lambda: (gradients.append(parameters[0].grad[-10:].clone()), step())
        return optimizer

    monkeypatch.setattr(loop, "choose_optimizer", watched)
    watching = Watching(engine)
    network, _ = trained(few, recipe, watching)
    (_, last) = watching.batches
    images = engine.gather(
        torch.from_numpy(five.images), torch.tensor(last), recipe.preprocessing(few)
    )
    error = functional.cross_entropy(network(images), torch.from_numpy(five.labels[last]))
    (of_one_image,) = torch.autograd.grad(error, network.output.bias)
    torch.testing.assert_close(gradients[-1], of_one_image / 4)


def test_train_figures_are_means_over_images_not_over_batches(digits, engine):
    """Others averaged the batches' means: the images of a short one then weigh more."""
    few = Split(digits.train.images[:65], digits.train.labels[:65])
    recipe = dataclasses.replace(PLAIN, epochs=1, optimizer="sgd", learning_rate=1e-9)

    class Poisoned(Watching):
        """Scores of the short batch, of one image, that could not be worse."""

        def backprop(self, *arguments, **options):
            backprop = super().backprop(*arguments, **options)

            def poisoned(indices, matrices=None):
                scores = backprop(indices, matrices)
                if len(indices) == 1:
                    scores[0] = 0
                    scores[0, few.labels[int(indices)]] = -1000
                return scores

            return poisoned

    watching = Poisoned(engine)
    splits = dataclasses.replace(digits, train=few)
    network, state = trained(splits, recipe, watching)
    images = torch.from_numpy(recipe.preprocessing(splits).apply(few.images))
    (alone,) = watching.batches[-1]
    others = np.arange(65) != alone
    with torch.no_grad():
        scores = network(images)[others]
    labels = torch.from_numpy(few.labels[others])
    n_right = int((scores.argmax(1) == labels).sum())
    epoch = state.history[0]
    assert epoch.train_accuracy == n_right / 65
    of_one = 1000 + math.log(9)
    total = float(functional.cross_entropy(scores, labels, reduction="sum")) + of_one
    assert epoch.train_loss == pytest.approx(total / 65, rel=1e-5)


def test_the_test_part_is_never_looked_at(digits, engine):
    """Others measured validation on test data."""
    poisoned = dataclasses.replace(
        digits, test=Split(np.zeros((3, 28, 28), np.uint8), np.array([99, -1, 7]))
    )
    watching = Watching(engine)
    a, _ = trained(poisoned, PLAIN, watching)
    assert all(ink is poisoned.validation.images for ink in watching.scored)
    b, _ = trained(digits, PLAIN, engine)
    assert same(a, b)


@pytest.mark.parametrize("recipe", [PLAIN, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("name", ["auto", "torch"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(digits, recipe, name):
    engine = select_engine(name, "cpu")
    a, _ = trained(digits, recipe, engine, **OPTIONS)
    torch.rand(7)
    np.random.random(7)  # noqa: NPY002 (the global generators must not matter)
    b, _ = trained(digits, recipe, engine, **OPTIONS)
    assert same(a, b)
    other = dataclasses.replace(recipe, seed=1)
    c, _ = trained(digits, other, engine, **OPTIONS)
    assert not same(a, c)


def test_the_global_generators_are_left_as_they_were(digits, engine):
    network = build_network("modern", **OPTIONS)
    before = torch.get_rng_state()
    train(network, digits, RICH, engine=engine)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_the_network_held_before_does_not_matter(digits, engine):
    fresh, _ = trained(digits, RICH, engine, **OPTIONS)
    used = build_network("modern", **OPTIONS)
    train(used, digits, PLAIN, engine=engine)
    train(used, digits, RICH, engine=engine)
    assert same(fresh, used)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("name", ["tutorial", "modern", "lecun1998"])
@pytest.mark.parametrize("stop", [1, 2])
def test_going_on_from_any_epoch_gives_the_same_bits(digits, engine, name, optimizer, stop):
    options = OPTIONS if name == "modern" else {}
    recipe = dataclasses.replace(RICH, optimizer=optimizer)
    states = []
    through, last = trained(
        digits, recipe, engine, name, on_epoch=lambda _, state: states.append(state), **options
    )
    resumed, state = trained(digits, recipe, engine, name, state=states[stop - 1], **options)
    assert same(through, resumed)
    losses = [[epoch.validation_loss for epoch in each.history] for each in (state, last)]
    assert losses[0] == losses[1]
    assert state.best_epoch == last.best_epoch
    assert state.tensors.keys() == last.tensors.keys()
    for key in state.tensors:
        assert torch.equal(state.tensors[key], last.tensors[key]), key


def test_going_on_after_the_last_epoch_only_gives_the_best_weights(digits, engine):
    through, last = trained(digits, PLAIN, engine)
    again, state = trained(digits, PLAIN, engine, state=last)
    assert same(through, again)
    assert state is last


def test_the_best_weights_are_not_overwritten_by_worse_ones(digits, engine):
    """Others saved "best" after every epoch."""
    wild = dataclasses.replace(PLAIN, epochs=6, learning_rate=0.03, optimizer="adam")
    measured = {}
    network, state = trained(
        digits,
        wild,
        engine,
        on_epoch=lambda epoch, state: measured.setdefault(epoch.epoch, state.part("network")),
    )
    best = max(state.history, key=lambda e: (e.validation_accuracy, -e.validation_loss))
    assert state.best == best
    assert state.history[-1] != best, "choose a wilder recipe: the last epoch was the best"
    kept = network.state_dict()
    assert all(torch.equal(kept[key], measured[best.epoch][key]) for key in kept)
    scores = engine.scores(network, digits.validation.images, wild.preprocessing(digits))
    right = (scores.argmax(1) == digits.validation.labels).mean()
    assert right == best.validation_accuracy


def test_averaged_weights_are_what_is_measured_and_kept(digits, engine):
    recipe = dataclasses.replace(PLAIN, weight_average=0.99, epochs=2)
    network, state = trained(digits, recipe, engine)
    assert not torch.equal(state.part("average")["c1.weight"], state.part("network")["c1.weight"])
    scores = engine.scores(network, digits.validation.images, recipe.preprocessing(digits))
    right = (scores.argmax(1) == digits.validation.labels).mean()
    assert right == state.best.validation_accuracy


def test_patience_ends_a_training_that_gets_no_better(digits, engine):
    hopeless = dataclasses.replace(PLAIN, epochs=50, learning_rate=1e-12, patience=2)
    _, state = trained(digits, hopeless, engine)
    assert state.epoch == state.best_epoch + 2 < 50


def test_without_validation_images_the_last_epoch_is_kept(digits, engine):
    nothing = Split(digits.train.images[:0], digits.train.labels[:0])
    _, state = trained(dataclasses.replace(digits, validation=nothing), PLAIN, engine)
    assert state.best_epoch == PLAIN.epochs
    assert all(math.isnan(epoch.validation_accuracy) for epoch in state.history)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_training_that_diverges_ends_in_one_clear_error(digits, engine, optimizer):
    recipe = dataclasses.replace(PLAIN, learning_rate=1e30, optimizer=optimizer)
    with pytest.raises(LenetError, match=r"diverged in epoch 1.*smaller learning rate"):
        train(build_network("modern"), digits, recipe, engine=engine)


def test_a_batch_larger_than_the_set_is_the_set(digits, engine):
    large = dataclasses.replace(PLAIN, batch_size=10_000)
    exact = dataclasses.replace(PLAIN, batch_size=330)
    a, _ = trained(digits, large, engine)
    b, _ = trained(digits, exact, engine)
    assert same(a, b)


def test_data_that_do_not_fit_the_network_are_refused(digits, engine):
    with pytest.raises(DataError, match="num_classes=10"):
        train(build_network("modern", num_classes=3), digits, PLAIN, engine=engine)
    empty = dataclasses.replace(
        digits, train=Split(digits.train.images[:0], digits.train.labels[:0])
    )
    with pytest.raises(DataError, match="no training images"):
        train(build_network("modern"), empty, PLAIN, engine=engine)
    odd = Split(digits.train.images[:2], np.array([0, 10]))
    with pytest.raises(DataError, match="0 to 10"):
        train(build_network("modern"), dataclasses.replace(digits, train=odd), PLAIN, engine=engine)


def test_every_step_is_told_by_the_images_it_has_come_to(digits, engine):
    steps = []
    n = len(digits.train)
    recipe = dataclasses.replace(PLAIN, epochs=2, batch_size=n // 2 + 1)
    network = build_network("modern")
    told = train(network, digits, recipe, engine=engine, on_step=steps.append)
    assert steps == [n // 2 + 1, n] * 2
    silent, state = trained(digits, recipe, engine)
    assert same(network, silent)
    assert [e.train_loss for e in told.history] == [e.train_loss for e in state.history]


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "dropout and BatchNorm"])
@pytest.mark.parametrize("name", ["auto", "torch"])
def test_compiling_ahead_changes_nothing_and_is_told(digits, name, options, monkeypatch):
    engine = select_engine(name, "cpu")
    told = []
    network = build_network("modern", **options)
    train(network, digits, RICH, engine=engine, on_progress=told.append)
    compiling = ["compiling modern for this processor"] if engine.name == "fused" else []
    assert told == [*compiling, "training"]
    monkeypatch.setattr(type(engine), "compile_scoring", lambda *_: None)
    other, _ = trained(digits, RICH, engine, **options)
    assert same(network, other)


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["covered", "dropout and BatchNorm"])
@pytest.mark.parametrize("recipe", [PLAIN, RICH], ids=["plain", "distorted"])
def test_no_epoch_waits_for_a_kernel(digits, recipe, options, monkeypatch):
    compiled = pytest.importorskip("lenet.kernels.compiled", reason="Halide is not installed")
    monkeypatch.setattr(compiled.kernel, "known", {})
    monkeypatch.setattr(compiled.get_compiled, "known", {})
    known = []
    train(
        build_network("modern", **options),
        digits,
        recipe,
        on_progress=lambda _: known.append(set(compiled.kernel.known)),
    )
    before, after = known
    assert before < after
    assert set(compiled.kernel.known) == after


def test_a_loss_of_one_s_own_that_is_the_recipe_s_learns_the_same(digits, engine):
    """But for the last, shorter batch, whose mean weighs as much as any other's."""
    recipe = dataclasses.replace(RICH, epochs=2, label_smoothing=0.0, batch_size=66)
    assert len(digits.train) % recipe.batch_size == 0
    ours, _ = trained(digits, recipe, engine)
    network = build_network("modern")
    train(network, digits, recipe, engine=engine, loss=functional.cross_entropy)
    for a, b in zip(ours.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_loss_is_refused(digits, engine):
    for loss in (
        lambda scores, labels: scores,
        lambda scores, labels: 1.0,
        lambda scores, labels: scores.detach().sum(),
    ):
        with pytest.raises(InputError, match="one number"):
            train(build_network("modern"), digits, PLAIN, engine=engine, loss=loss)
    weighed = dataclasses.replace(PLAIN, class_weights="balanced")
    with pytest.raises(InputError, match="class_weights"):
        train(
            build_network("modern"), digits, weighed, engine=engine, loss=functional.cross_entropy
        )


@pytest.mark.parametrize("recipe", [PLAIN, RICH], ids=["plain", "rich"])
def test_an_optimizer_of_one_s_own_that_is_the_recipe_s_learns_the_same(digits, engine, recipe):
    """By the ten parameters instead of one, and at the schedule's share of its own rate."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]

    def build(parameters):
        assert len(parameters) == 10
        return kind(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)

    ours, state = trained(digits, recipe, engine)
    network = build_network("modern")
    other = train(network, digits, recipe, engine=engine, optimizer=build)
    for a, b in zip(ours.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert [e.learning_rate for e in other.history] == [e.learning_rate for e in state.history]


def test_the_schedule_scales_an_optimizer_s_own_rates(digits, engine):
    def build(parameters):
        groups = [{"params": parameters[:4], "lr": 0.4}, {"params": parameters[4:], "lr": 0.1}]
        built.append(torch.optim.SGD(groups))
        return built[-1]

    built, seen = [], []

    def on_epoch(epoch, state):
        seen.append([group["lr"] for group in built[-1].param_groups])

    recipe = dataclasses.replace(PLAIN, schedule="one-cycle")
    network = build_network("modern")
    train(network, digits, recipe, engine=engine, optimizer=build, on_epoch=on_epoch)
    _, usual = trained(digits, recipe, engine)
    for (first, second), epoch in zip(seen, usual.history, strict=True):
        assert first == pytest.approx(0.4 * epoch.learning_rate / recipe.learning_rate)
        assert second == pytest.approx(first / 4)


def test_a_training_by_one_s_own_goes_on_as_if_never_interrupted(digits, engine):
    """Momentum and all: the state of any optimizer made of numbers and tensors is kept."""
    own = {
        "loss": lambda scores, labels: functional.multi_margin_loss(scores, labels),
        "optimizer": lambda parameters: torch.optim.RMSprop(parameters, 0.001, momentum=0.9),
    }
    states = []
    whole = build_network("modern")
    train(whole, digits, PLAIN, engine=engine, on_epoch=lambda _, s: states.append(s), **own)
    other = build_network("modern")
    train(other, digits, PLAIN, engine=engine, state=states[0], **own)
    assert same(whole, other)


def test_what_is_no_optimizer_is_refused(digits, engine):
    with pytest.raises(InputError, match=r"torch\.optim\.Optimizer"):
        train(build_network("modern"), digits, PLAIN, engine=engine, optimizer=len)
    network = build_network("modern")
    made = torch.optim.SGD(network.parameters(), 0.1)
    with pytest.raises(InputError, match=r"a function of the parameters.*, got SGD$"):
        train(network, digits, PLAIN, engine=engine, optimizer=made)


def test_a_callback_may_stop_the_training(digits, engine):
    network = build_network("modern")
    state = train(network, digits, PLAIN, engine=engine, on_epoch=lambda e, _: e.epoch == 2)
    assert state.epoch == 2
    assert not network.training
    seen = []
    state = train(network, digits, PLAIN, engine=engine, on_epoch=lambda e, _: seen or [e])
    assert state.epoch == PLAIN.epochs  # only True means it


def test_balanced_classes_weigh_the_same(digits, engine):
    """Of nine sevens and one nine, a network that learns little says seven, balanced or not."""
    rare = np.concatenate([np.flatnonzero(digits.train.labels == 7)[:20],
                           np.flatnonzero(digits.train.labels == 9)[:4]])  # fmt: skip
    few = Split(digits.train.images[rare], (digits.train.labels[rare] == 9).astype(np.int64))
    splits = dataclasses.replace(digits, train=few, validation=few, class_names=("7", "9"))
    found = {}
    for weights in ("none", "balanced"):
        recipe = dataclasses.replace(
            PLAIN, class_weights=weights, epochs=1, optimizer="sgd", learning_rate=0.003
        )
        network, _ = trained(splits, recipe, engine, num_classes=2)
        images = torch.from_numpy(recipe.preprocessing(splits).apply(few.images))
        found[weights] = network(images).softmax(1)[:, 1].mean().item()
    assert found["balanced"] > found["none"]


def test_class_weights_are_one_on_average():
    weights = balance(np.array([0, 0, 0, 2]), 3)
    assert weights.tolist() == pytest.approx([4 / 6, 0, 2])
    assert weights[[0, 0, 0, 2]].mean() == pytest.approx(1)


def test_a_training_starts_from_given_weights(digits, engine):
    first, _ = trained(digits, RICH, engine)
    still = dataclasses.replace(PLAIN, epochs=1, optimizer="sgd", learning_rate=1e-12)
    network = build_network("modern")
    train(network, digits, still, engine=engine, initial=first.state_dict())
    assert all(map(torch.equal, network.parameters(), first.parameters()))
    part = {k: v for k, v in first.state_dict().items() if not k.startswith("output.")}
    drawn, _ = trained(digits, still, engine)
    train(network, digits, still, engine=engine, initial=part)
    assert torch.equal(network.c1.weight, first.c1.weight)
    assert torch.equal(network.output.weight, drawn.output.weight)
    with pytest.raises(InputError, match=r"no such weight"):
        train(network, digits, still, engine=engine, initial={"c7.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"c1\.bias is \(1,\), the network has \(6,\)"):
        train(network, digits, still, engine=engine, initial={"c1.bias": torch.zeros(1)})
