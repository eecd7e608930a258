"""Modules that others wrote: what they do between their layers is found, and proven, by values."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lenet.data.preprocessing import BORDER, INK_SIZE, PADDED_SIZE, Preprocessing
from lenet.errors import InputError
from lenet.networks.frame import LeNet
from lenet.networks.layers import ACTIVATIONS
from lenet.networks.modern import Modern
from lenet.networks.plans import POOLINGS
from lenet.networks.shapes import match_layers, variant
from lenet.networks.sizes import C5_UNITS, S4_FEATURES
from lenet.networks.tutorial import Tutorial
from lenet.threads import one_torch_thread

_N_IMAGES = 3
_RATES = (0.5, 0.25, 0.2, 0.1, 0.3, 0.4)  # of Dropout, where no layer tells it
_TOLERANCE = 1e-9  # of float64 scores: rounding, and nothing else

_Head = Callable[[Tensor], Tensor]
# What others put behind their last layer. The first two leave the cross-entropy as it is.
_HARMLESS: dict[str, _Head] = {
    "nothing": lambda scores: scores,
    "log_softmax": lambda scores: functional.log_softmax(scores, 1),
}
_HARMFUL: dict[str, _Head] = {
    "softmax": lambda scores: functional.softmax(scores, 1),
    "ReLU": functional.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def as_lenet(module: nn.Module, preprocessing: Preprocessing | None = None) -> LeNet:
    """Any module that computes a LeNet-5, as one of the networks here.

    Its layers are found by the shapes of their weights, under whatever names. What it computes
    between them is found by trying: with random weights and images, in float64, the module must
    give the scores of a network here with some activation and pooling, in training mode too.

    Parameters
    ----------
    module : nn.Module
        A `LeNet`, what `lenet.fuse` made of one, or anybody's. It may take 28×28 images and pad
        them by itself, and it may end in a log-softmax. It is left as it is.
    preprocessing : Preprocessing, optional
        What its images go through, where that is known.

    Returns
    -------
    network : LeNet
        A `LeNet` itself; else a `Tutorial` or a `Modern` made of the module's very parameters: to
        train one is to train the other.

    Raises
    ------
    InputError
        When it is not a LeNet-5, and why; or when it pads with zeros, and paper is another value
        after the preprocessing.
    """
    # What `lenet.fuse` made has the network beside its layers; a module inside is a layer.
    inner = vars(module).get("network", module)
    if isinstance(inner, LeNet):
        return inner
    try:
        return _recognize(module, preprocessing)
    except InputError as error:
        raise InputError(f"{type(module).__name__} is {error}") from error.__cause__


def _recognize(module: nn.Module, preprocessing: Preprocessing | None) -> LeNet:
    names = match_layers({name: tuple(t.shape) for name, t in module.state_dict().items()})
    parts = _parts(module, names)
    with _as_it_was(module):
        probe = _Probe(module, names)
        name, options = variant(probe.find_options())
        network = _unfilled(name, probe.num_classes, options)
    if probe.size != PADDED_SIZE and preprocessing is not None and preprocessing.offset:
        raise InputError(
            f"a LeNet-5 that pads {INK_SIZE}×{INK_SIZE} images with zeros, but paper is "
            f"{preprocessing.offset:.3g} here; take a recipe with pixels='unit', or let it take "
            f"{PADDED_SIZE}×{PADDED_SIZE} images, without padding"
        )
    for name, part in parts.items():
        owner, _, own_name = name.rpartition(".")
        setattr(network.get_submodule(owner), own_name, part)
    network.training = module.training
    return network


def _parts(module: nn.Module, names: Mapping[str, str]) -> dict[str, nn.Parameter | nn.Module]:
    """The module's parameters by our names, and its BatchNorms as they are."""
    parts: dict[str, nn.Parameter | nn.Module] = {}
    parameters, modules = dict(module.named_parameters()), dict(module.named_modules())
    for ours, theirs in names.items():
        layer, part = ours.split(".")
        if layer.startswith("norm"):
            norm = modules[theirs.removesuffix(f".{part}")]
            if type(norm) is not nn.BatchNorm2d:
                raise InputError(f"not LeNet-5: {theirs} belongs to a {type(norm).__name__}")
            parts[layer] = norm
        elif theirs not in parameters:
            raise InputError(f"not LeNet-5: {theirs} is no parameter")
        elif ours == "c5.weight" and parameters[theirs].ndim != 2:
            raise InputError(
                f"not LeNet-5 as lenet has it: {theirs} is a convolution's; "
                f"nn.Linear({S4_FEATURES}, {C5_UNITS}) of the flattened maps is the same function"
            )
        else:
            parts[ours] = parameters[theirs]
    return parts


def _unfilled(name: str, num_classes: int, options: Mapping[str, Any]) -> LeNet:
    """A network without weights: none are drawn."""
    with torch.device("meta"):
        return {kind.name: kind for kind in (Tutorial, Modern)}[name](num_classes, **options)


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """Afterwards the modes of all its layers are what they were, and torch's generator too."""
    modes = [(layer, layer.training) for layer in module.modules()]
    try:
        # Three images: several threads would wait for one another longer than they compute.
        with torch.no_grad(), torch.random.fork_rng(devices=[]), one_torch_thread():
            yield
    finally:
        for layer, mode in modes:
            layer.training = mode


class _Probe:
    """A module with random weights, held against networks here with the same ones.

    Attributes
    ----------
    size : int
        Rows of the images that the module takes.
    num_classes : int
    """

    def __init__(self, module: nn.Module, names: Mapping[str, str]) -> None:
        self.module, self.names = module, names
        generator = torch.Generator().manual_seed(0)
        state = module.state_dict()
        self.state = {name: _random(name, state[of], generator) for name, of in names.items()}
        self.num_classes = len(self.state["output.bias"])
        shape = (_N_IMAGES, 1, INK_SIZE, INK_SIZE)
        self.ink = torch.randn(shape, generator=generator, dtype=torch.float64)
        self.padded = functional.pad(self.ink, (BORDER,) * 4)
        self.size = PADDED_SIZE
        try:
            self.scores = self._theirs()
        except Exception:  # another's code may raise anything
            self.size = INK_SIZE
            self.scores = self._theirs_or_why()

    def find_options(self) -> dict[str, Any]:
        """`Modern`'s options for the network that computes the same, in both modes."""
        self._check_scores()
        batch_norm = "norm1.weight" in self.names
        for activation in ACTIVATIONS:
            for pooling in POOLINGS:
                options = {"activation": activation, "pooling": pooling, "batch_norm": batch_norm}
                ours = self._ours({**options, "dropout": 0.0}, training=False)
                if _fits(_HARMLESS, self.scores, ours):
                    return {**options, "dropout": self._find_dropout(options)}
                end = _fits(_HARMFUL, self.scores, ours)
                if end is not None:
                    raise InputError(
                        f"not LeNet-5: its forward ends in {end}, where the last layer's scores "
                        f"are wanted as they are"
                    )
        raise InputError(
            f"not LeNet-5: its layers fit, but what it computes with them is not C1, pooling, C3, "
            f"pooling, C5, F6, output with {', '.join(POOLINGS)} pooling and one of "
            f"{', '.join(ACTIVATIONS)} after each"
        )

    def _find_dropout(self, options: Mapping[str, Any]) -> float:
        """The rate with which training mode gives the same scores too, from the same draws."""
        theirs = self._theirs(training=True)
        named = [layer.p for layer in self.module.modules() if isinstance(layer, nn.Dropout)]
        for rate in (0.0, *named, *_RATES):
            if _fits(_HARMLESS, theirs, self._ours({**options, "dropout": rate}, training=True)):
                return rate
        raise InputError(
            "not LeNet-5 in training mode; lenet has Dropout after C5 and F6, at one rate, and "
            "BatchNorm after C1 and C3"
        )

    def _theirs(self, *, training: bool = False, seed: int = 0) -> Tensor:
        self.module.train(training)
        torch.manual_seed(seed)
        state = {of: self.state[name].clone() for name, of in self.names.items()}
        images = self.padded if self.size == PADDED_SIZE else self.ink
        scores: Tensor = functional_call(self.module, state, (images.clone(),))
        return scores

    def _theirs_or_why(self) -> Tensor:
        try:
            return self._theirs()
        except Exception as error:  # another's code may raise anything
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"not LeNet-5: it takes neither {PADDED_SIZE}×{PADDED_SIZE} nor "
                f"{INK_SIZE}×{INK_SIZE} images of shape (N, 1, rows, columns): {why[:120]}"
            ) from error

    def _ours(self, options: Mapping[str, Any], *, training: bool) -> Tensor:
        network = _unfilled(Modern.name, self.num_classes, options)
        torch.manual_seed(0)
        state = {name: tensor.clone() for name, tensor in self.state.items()}
        scores: Tensor = functional_call(network.train(training), state, (self.padded,))
        return scores

    def _check_scores(self) -> None:
        wanted = (_N_IMAGES, self.num_classes)
        given = getattr(self.scores, "shape", None)
        if given != wanted:
            what = type(self.scores).__name__ if given is None else f"shape {tuple(given)}"
            raise InputError(f"not LeNet-5: for {_N_IMAGES} images it gives {what}, not {wanted}")
        if not torch.equal(self.scores, self._theirs(seed=1)):
            raise InputError(
                "not LeNet-5: it draws at random in evaluation mode too (F.dropout needs "
                "training=self.training)"
            )


def _random(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Values that lead through every bend of every activation."""
    if not like.is_floating_point():
        return torch.zeros_like(like, device="cpu")
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    if name.endswith("running_var"):
        return drawn.square() + 0.5
    return drawn * (2 / math.sqrt(drawn[0].numel()))


def _fits(heads: Mapping[str, _Head], theirs: Tensor, ours: Tensor) -> str | None:
    """What turns our scores into theirs, if one of these does."""
    for name, head in heads.items():
        if torch.allclose(theirs, head(ours), rtol=_TOLERANCE, atol=_TOLERANCE):
            return name
    return None
