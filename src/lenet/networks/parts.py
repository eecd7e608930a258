"""The layers a LeNet can have, told without torch: their weights, and what they cost."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from lenet.errors import InputError
from lenet.networks.sizes import POOLING_SIZE, Table

Shape = tuple[int, ...]
Declared = tuple[Shape, str]
"""The shape of an array and the name of its type."""

_AREA = POOLING_SIZE**2


class Part(Protocol):
    """One layer, whatever its weights."""

    @property
    def kind(self) -> str:
        """The name of its class in torch."""

    @property
    def shapes(self) -> dict[str, Declared]:
        """Its arrays in a state dict, by their own names."""

    @property
    def parameters(self) -> int:
        """How many numbers of them training may change."""

    def work(self, units: int) -> tuple[int, int]:
        """Connections and multiply-adds of one image, for so many units of output."""


def _floats(**shapes: Shape) -> dict[str, Declared]:
    return {name: (shape, "float32") for name, shape in shapes.items()}


def _count(shapes: dict[str, Declared]) -> int:
    return sum(math.prod(shape) for shape, _ in shapes.values())


@dataclass(frozen=True)
class Convolution:
    """Kernels over maps, without padding.

    Parameters
    ----------
    inputs, outputs : int
        Maps; `inputs` are those that each kernel sees.
    kernel : (rows, columns)
    table : Table, optional
        When not every output map sees every input map.
    bias : bool
    """

    inputs: int
    outputs: int
    kernel: tuple[int, int]
    table: Table | None = None
    bias: bool = True

    @property
    def kind(self) -> str:
        """See `Part`."""
        return "Conv2d" if self.table is None else "TableConvolution"

    @property
    def links(self) -> tuple[tuple[int, int], ...]:
        """(output map, input map) of every kernel, in the order of the weights."""
        table = self.table or (tuple(range(self.inputs)),) * self.outputs
        return tuple((out, into) for out, row in enumerate(table) for into in row)

    @property
    def shapes(self) -> dict[str, Declared]:
        """See `Part`."""
        maps = (self.outputs, self.inputs) if self.table is None else (len(self.links),)
        bias = {"bias": (self.outputs,)} if self.bias else {}
        return _floats(weight=(*maps, *self.kernel), **bias)

    @property
    def parameters(self) -> int:
        """See `Part`."""
        return _count(self.shapes)

    def work(self, units: int) -> tuple[int, int]:
        """See `Part`."""
        places = units // self.outputs
        products = places * len(self.links) * math.prod(self.kernel)
        return products + units * self.bias, products


@dataclass(frozen=True)
class Dense:
    """Weighted sums of all inputs."""

    inputs: int
    outputs: int
    bias: bool = True
    kind = "Linear"

    @property
    def shapes(self) -> dict[str, Declared]:
        """See `Part`."""
        bias = {"bias": (self.outputs,)} if self.bias else {}
        return _floats(weight=(self.outputs, self.inputs), **bias)

    @property
    def parameters(self) -> int:
        """See `Part`."""
        return _count(self.shapes)

    def work(self, units: int) -> tuple[int, int]:
        """See `Part`."""
        return units * (self.inputs + self.bias), units * self.inputs


@dataclass(frozen=True)
class Pooling:
    """The largest or the average of the values in a window, `area` of them."""

    of: Literal["max", "average"]
    area: int = _AREA

    @property
    def kind(self) -> str:
        """See `Part`."""
        return "MaxPool2d" if self.of == "max" else "AvgPool2d"

    @property
    def shapes(self) -> dict[str, Declared]:
        """See `Part`."""
        return {}

    parameters = 0

    def work(self, units: int) -> tuple[int, int]:
        """See `Part`."""
        return units * self.area, 0


@dataclass(frozen=True)
class Subsampled:
    """Trainable 2×2 pooling: see `lenet.networks.layers.Subsampling`.

    Parameters
    ----------
    maps : int
    mode : {"added", "averaged"}

    Raises
    ------
    InputError
        When the mode is unknown.
    """

    maps: int
    mode: str
    kind = "Subsampling"

    def __post_init__(self) -> None:
        if self.mode not in ("added", "averaged"):
            raise InputError(f"subsampling {self.mode!r} is unknown; use added or averaged")

    @property
    def weight_of_an_input(self) -> float:
        """1 when the four inputs are added, 1/4 when they are averaged."""
        return 1.0 if self.mode == "added" else 1 / _AREA

    @property
    def shapes(self) -> dict[str, Declared]:
        """See `Part`."""
        return _floats(coefficient=(self.maps,), bias=(self.maps,))

    @property
    def parameters(self) -> int:
        """See `Part`."""
        return _count(self.shapes)

    def work(self, units: int) -> tuple[int, int]:
        """See `Part`."""
        return units * (_AREA + 1), units


@dataclass(frozen=True)
class RadialBasis:
    """One unit a class: see `lenet.networks.layers.RadialBasisOutput`."""

    classes: int
    features: int
    trainable: bool
    kind = "RadialBasisOutput"

    @property
    def shapes(self) -> dict[str, Declared]:
        """See `Part`."""
        return _floats(centers=(self.classes, self.features))

    @property
    def parameters(self) -> int:
        """See `Part`."""
        return _count(self.shapes) if self.trainable else 0

    def work(self, units: int) -> tuple[int, int]:
        """See `Part`."""
        return units * self.features, units * self.features


@dataclass(frozen=True)
class BatchNorm:
    """Each map scaled and shifted, in evaluation by its running statistics."""

    maps: int
    kind = "BatchNorm2d"
    epsilon = 1e-5

    @property
    def shapes(self) -> dict[str, Declared]:
        """See `Part`."""
        maps = (self.maps,)
        floats = _floats(weight=maps, bias=maps, running_mean=maps, running_var=maps)
        return {**floats, "num_batches_tracked": ((), "int64")}

    @property
    def parameters(self) -> int:
        """See `Part`."""
        return 2 * self.maps

    def work(self, units: int) -> tuple[int, int]:
        """Nothing: in evaluation it is a part of the convolution before it."""
        return 0, 0
