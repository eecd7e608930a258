"""The training loop: a network, a data set in memory and a recipe become trained weights."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lenet.data.distortions import Distortions
from lenet.data.splits import Splits
from lenet.engines import Engine, select_engine
from lenet.errors import DataError, InputError, LenetError
from lenet.networks import LeNet
from lenet.networks.initialization import initialize
from lenet.training.history import Epoch, History, State
from lenet.training.recipes import Recipe

# What a generator is for, so that no two draw the same numbers from one seed.
_INITIAL, _ORDER, _DROPOUT = range(3)

_WARM_UP = 0.3
_START = 1 / 25  # of the peak rate
_MOMENTUM = 0.9


def train(
    network: LeNet,
    splits: Splits,
    recipe: Recipe,
    *,
    engine: Engine | None = None,
    on_epoch: Callable[[Epoch, State], None] | None = None,
    state: State | None = None,
) -> tuple[LeNet, History, State]:
    """Train a network from the start that the recipe says; prints nothing, writes nothing.

    Everything random is drawn from the recipe's seed and the number of the epoch, so the same call
    gives the same weights, and a training continued from a `State` the same as one that ran through
    (on the same machine, engine and number of threads). The test part is not looked at.

    Parameters
    ----------
    network : LeNet
        Its weights are drawn anew, in place.
    splits : Splits
        `train` to learn from, `validation` to choose the best epoch by. Without validation images
        the last epoch is the best.
    recipe : Recipe
    engine : Engine, optional
        What `lenet.engines.select_engine` chooses when not given.
    on_epoch : callable, optional
        Called after every epoch with its figures and the state.
    state : State, optional
        Where to go on.

    Returns
    -------
    network : LeNet
        The same object with the best weights, on the CPU, in evaluation mode.
    history : tuple of Epoch
    state : State

    Raises
    ------
    DataError
        When the data set and the network do not fit each other.
    LenetError
        When the loss is not finite: the training has diverged.
    """
    _check(network, splits)
    engine = engine or select_engine()
    preprocessing = recipe.preprocessing(splits)
    initialize(network, recipe.initialization, _torch_generator(recipe.seed, 0, _INITIAL))
    average = copy.deepcopy(network) if recipe.weight_average else network
    module = engine.compile(network)
    measured = engine.compile(average) if recipe.weight_average else module
    weights = flatten(network)
    optimizer = choose_optimizer(recipe, [weights])
    followed = [weights.detach(), *_statistics(network)]
    averaged = followed
    if recipe.weight_average:
        averaged = [flatten(average).detach(), *_statistics(average)]
    if state is not None:
        network.load_state_dict(state.part("network"))
        if recipe.weight_average:
            average.load_state_dict(state.part("average"))
        _restore(optimizer, state.part("optimizer"))

    ink = torch.from_numpy(splits.train.images).to(engine.device)
    labels = torch.from_numpy(splits.train.labels).to(engine.device)
    validation_labels = torch.from_numpy(splits.validation.labels)
    n_images = len(labels)
    batch_size = min(recipe.batch_size, n_images)
    steps = math.ceil(n_images / batch_size)
    backprop = engine.backprop(
        module.train(),
        ink,
        labels,
        preprocessing,
        label_smoothing=recipe.label_smoothing,
        # An image of a short batch counts for no more than any other.
        weight=1 / batch_size,
    )
    update = engine.updater(optimizer)
    cuda = [engine.device] if engine.device.type == "cuda" else []

    history = state.history if state is not None else ()
    before = history[-1].elapsed_seconds if history else 0.0
    began = time.perf_counter()
    while state is None or not state.is_over(recipe):
        epoch = len(history)
        started = time.perf_counter()
        rng = np.random.default_rng([recipe.seed, epoch, _ORDER])
        order = torch.from_numpy(rng.permutation(n_images))
        distortions = _draw(recipe.distortions, n_images, rng)
        seen: list[Tensor] = []
        module.train()
        with torch.random.fork_rng(devices=cuda), engine.cores():
            torch.manual_seed(_number(recipe.seed, epoch, _DROPOUT))
            for step, first in enumerate(range(0, n_images, batch_size), epoch * steps):
                batch = order[first : first + batch_size]
                matrices = None if distortions is None else distortions[first : first + batch_size]
                rate = learning_rate(recipe, step / (steps * recipe.epochs))
                for group in optimizer.param_groups:
                    group["lr"] = rate
                scores = backprop(batch, matrices)
                update()
                if recipe.weight_average:
                    decay = min(recipe.weight_average, (1 + step) / (10 + step))
                    torch._foreach_lerp_(averaged, followed, 1 - decay)
                # Losses and accuracies are counted at the end, in one go over the whole epoch.
                seen.append(scores)
        trained = time.perf_counter()
        if recipe.weight_average:
            _copy_counters(network, average)
        train_loss, train_accuracy = measure(torch.cat(seen), labels[order])
        validation_scores = engine.scores(measured, splits.validation.images, preprocessing)
        validation_loss, validation_accuracy = measure(
            torch.from_numpy(validation_scores), validation_labels
        )
        figures = Epoch(
            epoch=epoch + 1,
            learning_rate=rate,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            images_per_second=n_images / (trained - started),
            elapsed_seconds=before + time.perf_counter() - began,
        )
        _require_finite(figures, averaged)
        history = (*history, figures)
        state = _snapshot(history, state, network, average, optimizer)
        if on_epoch is not None:
            on_epoch(figures, state)
    network.cpu().load_state_dict(state.part("best"))
    for parameter in network.parameters():
        parameter.data, parameter.grad = parameter.data.clone(), None
    return network.eval(), history, state


def flatten(network: LeNet) -> nn.Parameter:
    """Move all that is trained into one tensor, and its gradients into another.

    An optimizer then makes one call for one tensor, where ten small ones cost more than their
    arithmetic. The network's parameters become views of it.

    Returns
    -------
    weights : (n,) float32
        The parameters that require a gradient, one after another; `grad` holds theirs.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    weights = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    weights.grad = torch.zeros_like(weights)
    first = 0
    for p in parameters:
        part = slice(first, first + p.numel())
        p.data = weights.detach()[part].view_as(p)
        p.grad = weights.grad[part].view_as(p)
        first = part.stop
    return weights


def choose_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a recipe; the loop sets its learning rate before every step."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                parameters, rate, _MOMENTUM, weight_decay=decay, nesterov=True, fused=True
            )
    raise InputError(f"optimizer {recipe.optimizer!r} is unknown")


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate of a step, from how much of the training is behind it: 0 ≤ progress < 1."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if progress < _WARM_UP:
        rise = (1 - math.cos(math.pi * progress / _WARM_UP)) / 2
        return recipe.learning_rate * (_START + (1 - _START) * rise)
    fall = (progress - _WARM_UP) / (1 - _WARM_UP)
    return recipe.learning_rate * (1 + math.cos(math.pi * fall)) / 2


def measure(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all the images; NaN when there are none."""
    if len(labels) == 0:
        return math.nan, math.nan
    n_right = int((scores.argmax(1) == labels).sum())
    return float(functional.cross_entropy(scores, labels)), n_right / len(labels)


def _check(network: LeNet, splits: Splits) -> None:
    if len(splits.train) == 0:
        raise DataError(f"{splits.name} has no training images")
    if len(splits.class_names) != network.num_classes:
        raise DataError(
            f"{splits.name} has {len(splits.class_names)} classes, the network "
            f"{network.num_classes}; build it with num_classes={len(splits.class_names)}"
        )
    for part in (splits.train, splits.validation):
        if len(part) and not (part.labels.min() >= 0 and part.labels.max() < network.num_classes):
            raise DataError(
                f"{splits.name} has labels {part.labels.min()} to {part.labels.max()}, "
                f"{network.num_classes} classes have 0 to {network.num_classes - 1}"
            )


def _draw(
    distortions: Distortions, n_images: int, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """(n_images, 2, 3), or None when nothing is distorted."""
    return None if distortions == Distortions() else distortions.sample(n_images, rng)


def _snapshot(
    history: History,
    before: State | None,
    network: LeNet,
    average: LeNet,
    optimizer: torch.optim.Optimizer,
) -> State:
    """The state after the last epoch of `history`; `before` is the state after the one before."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= dict(_optimizer_tensors(optimizer))
    kept = {f"best.{name}": tensor for name, tensor in average.state_dict().items()}
    if average is not network:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    copies = {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}
    if before is None or history[-1].is_better(before.best):
        best_epoch = len(history)
        copies |= {name: tensor.detach().to("cpu", copy=True) for name, tensor in kept.items()}
    else:
        best_epoch = before.best_epoch
        copies |= {name: before.tensors[name] for name in kept}
    return State(history, best_epoch, copies)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            yield f"optimizer.{index}.{key}", value


def _restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the tensors that `_optimizer_tensors` took from one like it."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _statistics(network: LeNet) -> list[Tensor]:
    """What belongs in a weight average beside parameters: BatchNorm's running statistics."""
    return [t for t in network.buffers() if t.is_floating_point()]


def _copy_counters(network: LeNet, average: LeNet) -> None:
    """What cannot be averaged is copied: BatchNorm's number of batches."""
    for name, tensor in average.state_dict().items():
        if not tensor.is_floating_point():
            tensor.copy_(network.state_dict()[name])


def _require_finite(figures: Epoch, weights: list[Tensor]) -> None:
    sizes = torch.stack(torch._foreach_norm(weights))
    losses = (figures.train_loss, figures.validation_loss)
    infinite = any(math.isinf(loss) for loss in losses) or math.isnan(figures.train_loss)
    if infinite or not bool(torch.isfinite(sizes).all()):
        raise LenetError(
            f"the training diverged in epoch {figures.epoch}: train loss {figures.train_loss}, "
            f"learning rate {figures.learning_rate:.2g}; try a smaller learning rate"
        )


def _number(seed: int, epoch: int, purpose: int) -> int:
    """A seed for torch's generators, independent for every epoch and purpose."""
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0] >> 1)


def _torch_generator(seed: int, epoch: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(_number(seed, epoch, purpose))
