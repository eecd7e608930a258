"""What each network is made of, told without torch: its layers, their weights, its options."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from lenet.errors import InputError, SettingError, suggestion
from lenet.networks import codes
from lenet.networks.activations import SQUASHES
from lenet.networks.parts import (
    BatchNorm,
    Convolution,
    Dense,
    Part,
    Pooling,
    RadialBasis,
    Shape,
    Subsampled,
)
from lenet.networks.sizes import (
    C1_MAPS,
    C1_SIZE,
    C3_MAPS,
    C3_SIZE,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    S2_SIZE,
    S4_FEATURES,
    S4_SIZE,
    TABLE_I,
)

POOLINGS: tuple[Literal["max", "average"], ...] = ("max", "average")
"""Trainable pooling is the 1998 network's alone: it has weights and is squashed itself."""


@dataclass(frozen=True)
class Layer:
    """One of the paper's layers.

    Parameters
    ----------
    part : Part
        Its weights are named after the layer.
    shape : tuple of int
        Of its output for a 32×32 image: (maps, rows, columns) or (units,).
    squashed : bool
        Whether its sums go through the activation.
    norm : str, optional
        The name of the BatchNorm between the sums and the activation.
    """

    part: Part
    shape: Shape
    squashed: bool
    norm: str | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it is made of, in the order of computation."""
        return (self.part,) if self.norm is None else (self.part, BatchNorm(self.shape[0]))


@dataclass(frozen=True)
class Plan:
    """All that tells one network from another but its weights.

    Parameters
    ----------
    name : str
        The name `build_network` knows it by.
    num_classes : int
        At least 2.
    options : dict
        What else it is built with: plain JSON values.
    activation : str
        A name in `lenet.networks.activations.SQUASHES`.
    layers : dict of str to Layer
        By the paper's names, in their order.

    Raises
    ------
    InputError
        When there are fewer than two classes.
    """

    name: str
    num_classes: int
    options: dict[str, Any]
    activation: str
    layers: dict[str, Layer]

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise InputError(f"num_classes must be at least 2, got {self.num_classes}")

    @cached_property
    def shapes(self) -> dict[str, tuple[Shape, str]]:
        """Shape and type of every array in the network's state dict, by its dotted name."""
        return {
            f"{owner}.{name}": declared
            for place, layer in self.layers.items()
            for owner, part in zip((place, layer.norm), layer.parts, strict=False)
            for name, declared in part.shapes.items()
        }


def tutorial(num_classes: int = 10) -> Plan:
    """See `lenet.networks.tutorial.Tutorial`."""
    return Plan("tutorial", num_classes, {}, "sigmoid", _layers(num_classes, "average"))


def modern(
    num_classes: int = 10,
    *,
    activation: str = "relu",
    pooling: str = "max",
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> Plan:
    """See `lenet.networks.modern.Modern`."""
    for what, choice, known in (
        ("activation", activation, SQUASHES),
        ("pooling", pooling, POOLINGS),
    ):
        if choice not in known:
            hint = suggestion(choice, known)
            raise SettingError(what, f"{choice!r} is unknown; use {', '.join(known)}{hint}")
    if not 0 <= dropout < 1:
        raise SettingError("dropout", f"must be at least 0 and less than 1, got {dropout}")
    options = {
        "activation": activation,
        "pooling": pooling,
        "dropout": dropout,
        "batch_norm": batch_norm,
    }
    layers = _layers(num_classes, "max" if pooling == "max" else "average", batch_norm)
    return Plan("modern", num_classes, options, activation, layers)


def lecun1998(
    num_classes: int = 10,
    *,
    characters: str | None = None,
    subsampling: str = "added",
    trainable_codes: bool = False,
) -> Plan:
    """See `lenet.networks.lecun1998.LeCun1998`."""
    if characters is None:
        known = codes.DIGITS + "".join(c for c in codes.bitmaps() if c not in codes.DIGITS)
        characters = known[: max(num_classes, 0)]
    if len(characters) != num_classes or len(set(characters)) != num_classes:
        raise InputError(
            f"{num_classes} classes need {num_classes} different characters, got {characters!r}"
            f" (at most {len(codes.bitmaps())} have a code)"
        )
    codes.encode(characters)  # refuses those without a code
    options = {
        "characters": characters,
        "subsampling": subsampling,
        "trainable_codes": trainable_codes,
    }
    kernel = (KERNEL_SIZE, KERNEL_SIZE)
    layers = {
        "c1": Layer(Convolution(1, C1_MAPS, kernel), (C1_MAPS, C1_SIZE, C1_SIZE), True),
        "s2": Layer(Subsampled(C1_MAPS, subsampling), (C1_MAPS, S2_SIZE, S2_SIZE), True),
        "c3": Layer(
            Convolution(C1_MAPS, C3_MAPS, kernel, TABLE_I), (C3_MAPS, C3_SIZE, C3_SIZE), True
        ),
        "s4": Layer(Subsampled(C3_MAPS, subsampling), (C3_MAPS, S4_SIZE, S4_SIZE), True),
        "c5": Layer(Convolution(C3_MAPS, C5_UNITS, kernel), (C5_UNITS, 1, 1), True),
        "f6": Layer(Dense(C5_UNITS, F6_UNITS), (F6_UNITS,), True),
        "output": Layer(RadialBasis(num_classes, F6_UNITS, trainable_codes), (num_classes,), False),
    }
    return Plan("lecun1998", num_classes, options, "scaled-tanh", layers)


def _layers(
    num_classes: int, pooling: Literal["max", "average"], batch_norm: bool = False
) -> dict[str, Layer]:
    """Those of the article's frame."""
    kernel = (KERNEL_SIZE, KERNEL_SIZE)
    norms = ("norm1", "norm3") if batch_norm else (None, None)
    pool = Pooling(pooling)
    return {
        "c1": Layer(Convolution(1, C1_MAPS, kernel), (C1_MAPS, C1_SIZE, C1_SIZE), True, norms[0]),
        "s2": Layer(pool, (C1_MAPS, S2_SIZE, S2_SIZE), False),
        "c3": Layer(
            Convolution(C1_MAPS, C3_MAPS, kernel), (C3_MAPS, C3_SIZE, C3_SIZE), True, norms[1]
        ),
        "s4": Layer(pool, (C3_MAPS, S4_SIZE, S4_SIZE), False),
        "c5": Layer(Dense(S4_FEATURES, C5_UNITS), (C5_UNITS,), True),
        "f6": Layer(Dense(C5_UNITS, F6_UNITS), (F6_UNITS,), True),
        "output": Layer(Dense(F6_UNITS, num_classes), (num_classes,), False),
    }


PLANS: dict[str, Callable[..., Plan]] = {
    "tutorial": tutorial,
    "modern": modern,
    "lecun1998": lecun1998,
}
"""The networks by name; each function takes the options of its network."""


def plan_network(name: str, num_classes: int = 10, **options: Any) -> Plan:
    """What `build_network` would build.

    Parameters
    ----------
    name : {"tutorial", "modern", "lecun1998"}
    num_classes : int
    **options
        The network's own.

    Raises
    ------
    InputError
        When the name or an option is unknown, or a value is out of range.
    """
    known = list_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f"takes {', '.join(sorted(known))}" if known else "takes no options"
        raise InputError(f"{name} has no option {', '.join(unknown)}; it {takes}")
    return PLANS[name](num_classes, **options)


def list_options(name: str) -> dict[str, inspect.Parameter]:
    """What a network can be built with beside its number of classes: each option as declared.

    Parameters
    ----------
    name : {"tutorial", "modern", "lecun1998"}

    Raises
    ------
    InputError
        When the name is unknown.
    """
    if name not in PLANS:
        hint = suggestion(name, PLANS)
        raise InputError(f"network {name!r} is unknown; use one of {', '.join(PLANS)}{hint}")
    parameters = inspect.signature(PLANS[name]).parameters
    return {option: p for option, p in parameters.items() if option != "num_classes"}
