"""The training loop: a network, a data set in memory and a recipe become trained weights."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet.data.distortions import Distortions
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.engines import Engine, select_engine
from lenet.errors import DataError, InputError, LenetError
from lenet.evaluation import count_errors, cross_entropies
from lenet.networks import LeNet
from lenet.networks.initialization import initialize
from lenet.networks.recognition import as_lenet
from lenet.training.average import WeightAverage
from lenet.training.history import Epoch, State
from lenet.training.losses import Loss, balance, checked
from lenet.training.optimizers import (
    BuildOptimizer,
    choose_optimizer,
    flatten,
    learning_rate,
    optimizer_tensors,
    own_optimizer,
    restore_optimizer,
    set_rate,
)
from lenet.training.recipes import Recipe

# What a generator is for, so that no two draw the same numbers from one seed.
_INITIAL, _ORDER, _DROPOUT = range(3)

Batch = tuple[Tensor, NDArray[np.float32] | None]
"""Which images, and the matrices (B, 2, 3) they are distorted by."""


def train(
    network: nn.Module,
    splits: Splits,
    recipe: Recipe,
    preprocessing: Preprocessing | None = None,
    *,
    engine: Engine | None = None,
    state: State | None = None,
    initial: Mapping[str, Tensor] | None = None,
    loss: Loss | None = None,
    optimizer: BuildOptimizer | None = None,
    on_epoch: Callable[[Epoch, State], object] | None = None,
    on_step: Callable[[int], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> State:
    """Train a network from the start that the recipe says; prints nothing, writes nothing.

    Everything random is drawn from the recipe's seed and the number of the epoch, so the same call
    gives the same weights, and a training continued from a `State` the same as one that ran through
    (on the same machine, engine and number of threads). The test part is not looked at.

    Parameters
    ----------
    network : LeNet
        Or another's module: see `lenet.networks.recognition.as_lenet`. Its weights are drawn anew,
        in place; afterwards it has the best ones, on the CPU, and is in evaluation mode.
    splits : Splits
        `train` to learn from, `validation` to choose the best epoch by. Without validation images
        the last epoch is the best.
    recipe : Recipe
    preprocessing : Preprocessing, optional
        ``recipe.preprocessing(splits)``, where that is known already.
    engine : Engine, optional
        What `lenet.engines.select_engine` chooses when not given.
    state : State, optional
        Where to go on.
    initial : mapping of str to Tensor, optional
        Weights to start from, by their names in the network's `state_dict`: those of another
        training, all or some. What is not in it is drawn as the recipe says.
    loss : callable, optional
        Of scores (B, classes) float32 and labels (B,) int64, giving one number to differentiate,
        the mean over the batch for instance. Used as it is, instead of the recipe's cross-entropy
        and its label smoothing. Forward and backward pass stay with the engine; history and best
        epoch go by cross-entropy and accuracy as always.
    optimizer : callable, optional
        Of the list of parameters, giving a `torch.optim.Optimizer` that changes them in place. The
        recipe's schedule scales the learning rates that it was made with.
    on_epoch : callable, optional
        Called after every epoch with its figures and the state. The training ends there when it
        returns True.
    on_step : callable, optional
        Called after every step with how many images of the epoch have been learnt from.
    on_progress : callable, optional
        Told in a few words what is waited for: compiling, then the training itself.

    Returns
    -------
    state : State
        The history, the best epoch, and all that a longer training would need to go on.

    Raises
    ------
    DataError
        When the data set and the network do not fit each other.
    InputError
        When a module is not a LeNet-5, or the initial weights, the loss or the optimizer are not
        what they must be.
    LenetError
        When scores or weights are not finite: the training has diverged.
    """
    given, preprocessing = network, preprocessing or recipe.preprocessing(splits)
    network = as_lenet(given, preprocessing)
    check_fit(network, splits)
    if state is None or not state.is_over(recipe):
        training = Training(
            *(network, splits, recipe, preprocessing, engine or select_engine()),
            initial=initial,
            loss=loss,
            optimizer=optimizer,
        )
        if state is not None:
            training.restore(state)
        training.compile(on_progress or (lambda _: None))
        before = state.history[-1].elapsed_seconds if state is not None else 0.0
        began = time.perf_counter() - before
        while state is None or not state.is_over(recipe):
            state = training.run_epoch(state, began, on_step)
            if on_epoch is not None and says_stop(on_epoch(state.history[-1], state)):
                break
    network.cpu().load_state_dict(state.part("best"))
    for parameter in network.parameters():  # no longer views of one tensor
        parameter.data, parameter.grad = parameter.data.clone(), None
    given.eval()
    network.eval()
    return state


def says_stop(answer: object) -> bool:
    """Whether a callback's answer is True; what else it may return means nothing."""
    return isinstance(answer, (bool, np.bool_)) and bool(answer)


class Training:
    """A network on its way: all that an epoch needs, wired together once; see `train`."""

    def __init__(
        self,
        network: LeNet,
        splits: Splits,
        recipe: Recipe,
        preprocessing: Preprocessing,
        engine: Engine,
        *,
        initial: Mapping[str, Tensor] | None = None,
        loss: Loss | None = None,
        optimizer: BuildOptimizer | None = None,
    ) -> None:
        self.network, self.splits, self.recipe = network, splits, recipe
        self.preprocessing, self.engine = preprocessing, engine
        if loss is not None and recipe.class_weights != "none":
            raise InputError(
                f"a loss of one's own weighs the classes itself: leave out class_weights "
                f"{recipe.class_weights!r}"
            )
        generator = torch.Generator().manual_seed(_derive_seed(recipe.seed, 0, _INITIAL))
        initialize(network, recipe.initialization, generator)
        _start_from(network, initial or {})
        self.loss = loss
        self.module = self.measured = engine.compile(network)
        weights = flatten(network)
        if optimizer is None:
            self.optimizer = choose_optimizer(recipe, [weights])
        else:
            self.optimizer = own_optimizer(optimizer, network, recipe)
        self.kept = network
        self.average: WeightAverage | None = None
        if recipe.weight_average:
            self.average = WeightAverage(network, weights, recipe.weight_average)
            self.kept = self.average.network
            self.measured = engine.compile(self.kept)
        self.n_images = len(splits.train)
        self.batch_size = min(recipe.batch_size, self.n_images)
        self.n_steps = math.ceil(self.n_images / self.batch_size)

    def restore(self, state: State) -> None:
        """Go on where `state` was taken."""
        self.network.load_state_dict(state.part("network"))
        if self.average is not None:
            self.average.network.load_state_dict(state.part("average"))
        restore_optimizer(self.optimizer, state.part("optimizer"))

    def compile(self, tell: Callable[[str], None]) -> None:
        """Compile whatever an epoch runs; weights, gradients and generators stay as they are."""
        if self.engine.name == "fused":
            tell(f"compiling {self.network.name} for this processor")
        images, labels = (
            torch.from_numpy(array).to(self.engine.device)
            for array in (self.splits.train.images, self.splits.train.labels)
        )
        given = self.module.train(), images, labels, self.preprocessing
        distorted = self.recipe.distortions != Distortions()
        if self.loss is not None:
            self.backprop = self.engine.backprop_of(*given, checked(self.loss), distorted=distorted)
        else:
            self.backprop = self.engine.backprop(
                *given,
                label_smoothing=self.recipe.label_smoothing,
                weight=self._weight(),
                distorted=distorted,
            )
        self.update = self.engine.updater(self.optimizer)
        self.engine.compile_scoring(self.measured)
        tell("training")

    def _weight(self) -> float | Tensor:
        """Of an image's loss: one of a short batch counts for no more than any other."""
        share = 1 / self.batch_size
        if self.recipe.class_weights == "none":
            return share
        return share * balance(self.splits.train.labels, self.network.num_classes)

    def run_epoch(
        self, before: State | None, began: float, on_step: Callable[[int], None] | None
    ) -> State:
        """One pass over the training images, then its figures, then the state after it."""
        number = before.epoch if before is not None else 0
        started = time.perf_counter()
        order, scores = self._learn(number, on_step)
        seconds = time.perf_counter() - started
        if self.average is not None:
            self.average.copy_counters()
        validation_scores = self.engine.scores(
            self.measured, self.splits.validation.images, self.preprocessing
        )
        rate = self.optimizer.param_groups[0]["lr"]
        self._require_finite(number, rate, scores, validation_scores)
        train_loss, train_accuracy = _measure(scores, self.splits.train.labels[order])
        validation_loss, validation_accuracy = _measure(
            validation_scores, self.splits.validation.labels
        )
        epoch = Epoch(
            epoch=number + 1,
            learning_rate=rate,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            images_per_second=self.n_images / seconds,
            elapsed_seconds=time.perf_counter() - began,
        )
        return self._state_after(epoch, before)

    def _learn(
        self, number: int, on_step: Callable[[int], None] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Step through all the images once: their order, and their scores in that order."""
        batches = self.deal(number)
        seen: list[Tensor] = []
        with self.drawing(number):
            for step, (indices, matrices) in enumerate(batches, number * self.n_steps):
                rate = learning_rate(self.recipe, step / (self.n_steps * self.recipe.epochs))
                seen.append(self.step(rate, indices, matrices))
                if self.average is not None:
                    self.average.update(step)
                if on_step is not None:
                    on_step(sum(map(len, seen)))
        # Counted at the end, in one go over the whole epoch.
        order = torch.cat([indices for indices, _ in batches])
        return order.numpy(), torch.cat(seen).cpu().numpy()

    def deal(self, number: int) -> list[Batch]:
        """All the training images in the order of an epoch, by batches."""
        rng = np.random.default_rng([self.recipe.seed, number, _ORDER])
        order = torch.from_numpy(rng.permutation(self.n_images))
        limits = self.recipe.distortions
        distorted = limits != Distortions()
        matrices = limits.sample(self.n_images, rng) if distorted else None
        parts = [slice(at, at + self.batch_size) for at in range(0, len(order), self.batch_size)]
        return [(order[part], None if matrices is None else matrices[part]) for part in parts]

    @contextlib.contextmanager
    def drawing(self, number: int) -> Iterator[None]:
        """The network in training mode, its Dropout drawn from the seed of an epoch."""
        cuda = [self.engine.device] if self.engine.device.type == "cuda" else []
        self.module.train()
        with torch.random.fork_rng(devices=cuda), self.engine.cores():
            torch.manual_seed(_derive_seed(self.recipe.seed, number, _DROPOUT))
            yield

    def step(self, rate: float, indices: Tensor, matrices: NDArray[np.float32] | None) -> Tensor:
        """One update of the weights by some images; their scores (B, classes) before it."""
        set_rate(self.optimizer, rate)
        scores = self.backprop(indices, matrices)
        self.update()
        return scores

    def _require_finite(self, number: int, rate: float, *scores: NDArray[np.float32]) -> None:
        tensors = (t for t in self.kept.state_dict().values() if t.is_floating_point())
        if not (
            all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
            and all(np.isfinite(each).all() for each in scores)
        ):
            raise LenetError(
                f"the training diverged in epoch {number + 1}: weights or scores are no longer "
                f"finite at a learning rate of {rate:.2g}; try a smaller learning rate"
            )

    def _state_after(self, epoch: Epoch, before: State | None) -> State:
        """The state with copies of all that changes; the best weights are the new ones or not."""
        history = (*(before.history if before is not None else ()), epoch)
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"optimizer.{k}": t for k, t in optimizer_tensors(self.optimizer).items()}
        kept = self.kept.state_dict()
        if self.average is not None:
            tensors |= {f"average.{name}": t for name, t in kept.items()}
        copies = {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}
        if before is None or epoch.is_better(before.best):
            best = {name: t.detach().to("cpu", copy=True) for name, t in kept.items()}
            best_epoch = epoch.epoch
        else:
            best, best_epoch = before.part("best"), before.best_epoch
        return State(history, best_epoch, copies | {f"best.{name}": t for name, t in best.items()})


def _measure(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all the images; NaN when there are none."""
    n = len(labels)
    if n == 0:
        return math.nan, math.nan
    n_right = n - count_errors(scores, labels)
    return float(cross_entropies(scores, labels).mean()), n_right / n


def _start_from(network: LeNet, weights: Mapping[str, Tensor]) -> None:
    """Put weights in the place of those that were drawn."""
    state = network.state_dict()
    for name, tensor in weights.items():
        if name not in state or state[name].shape != tensor.shape:
            shape = tuple(state[name].shape) if name in state else "no such weight"
            raise InputError(
                f"initial weights do not fit {network.name}: {name} is {tuple(tensor.shape)}, "
                f"the network has {shape}"
            )
        state[name].copy_(tensor)


def check_fit(network: LeNet, splits: Splits) -> None:
    """Refuse a data set that the network cannot learn from.

    Raises
    ------
    DataError
    """
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


def _derive_seed(seed: int, epoch: int, purpose: int) -> int:
    """A seed for torch's generators, independent for every epoch and purpose."""
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0] >> 1)
