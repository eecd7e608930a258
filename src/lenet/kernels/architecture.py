"""All that tells one LeNet's kernels from another's, and the parameters they read."""

from dataclasses import dataclass
from typing import Literal

from lenet.kernels.activation import Activation
from lenet.kernels.layout import Extents
from lenet.kernels.pooling import Pooling
from lenet.networks.sizes import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    S4_FEATURES,
)


@dataclass(frozen=True)
class Connections:
    """The links of a convolution, numbered output map by output map, as its weights are stored.

    Parameters
    ----------
    table : tuple of tuples of int
        For each output map, the input maps it sees, ascending.
    """

    table: tuple[tuple[int, ...], ...]

    @classmethod
    def dense(cls, outputs: int, inputs: int) -> "Connections":
        """Every output map sees every input map."""
        return cls((tuple(range(inputs)),) * outputs)

    @property
    def links(self) -> tuple[tuple[int, int], ...]:
        """(output map, input map) of every link, in order."""
        return tuple((out, into) for out, row in enumerate(self.table) for into in row)

    @property
    def inputs(self) -> int:
        """Number of input maps."""
        return 1 + max(max(row) for row in self.table)

    @property
    def outputs(self) -> int:
        """Number of output maps."""
        return len(self.table)

    @property
    def is_dense(self) -> bool:
        """Whether every output map sees every input map."""
        return all(row == tuple(range(self.inputs)) for row in self.table)

    @property
    def fan_in(self) -> tuple[int, ...]:
        """Links into each output map."""
        return tuple(len(row) for row in self.table)

    @property
    def outgoing(self) -> tuple[tuple[int, ...], ...]:
        """For each input map, the links that leave it, ascending."""
        return tuple(
            tuple(link for link, (_, into) in enumerate(self.links) if into == map_)
            for map_ in range(self.inputs)
        )


C1_CONNECTIONS = Connections.dense(C1_MAPS, 1)
"""Of C1, in every LeNet."""


@dataclass(frozen=True)
class Architecture:
    """What a LeNet is made of, as far as the kernels are concerned.

    Parameters
    ----------
    activation : Activation
    pooling : Pooling
    squash_pooled : bool
        Whether the pooled sums are squashed too, as in 1998.
    connections : Connections
        Of C3.
    output : {"linear", "rbf"}
    classes : int
    dropout : bool
        Whether C5's and F6's outputs are multiplied by masks.
    """

    activation: Activation
    pooling: Pooling
    squash_pooled: bool
    connections: Connections
    output: Literal["linear", "rbf"]
    classes: int
    dropout: bool = False

    @property
    def pooled_activation(self) -> Activation | None:
        """What squashes the pooled sums; None when nothing does."""
        return self.activation if self.squash_pooled else None

    @property
    def weight_extents(self) -> dict[str, Extents]:
        """The parameters that the kernels read, in the network's order, by dotted name."""
        extents: dict[str, Extents] = {
            "c1.weight": (C1_MAPS, KERNEL_SIZE, KERNEL_SIZE),
            "c1.bias": (C1_MAPS,),
            "c3.weight": (len(self.connections.links), KERNEL_SIZE, KERNEL_SIZE),
            "c3.bias": (C3_MAPS,),
            "c5.weight": (C5_UNITS, S4_FEATURES),
            "c5.bias": (C5_UNITS,),
            "f6.weight": (F6_UNITS, C5_UNITS),
            "f6.bias": (F6_UNITS,),
        }
        if self.pooling.trainable:
            for layer, maps in (("s2", C1_MAPS), ("s4", C3_MAPS)):
                extents[f"{layer}.coefficient"] = (maps,)
                extents[f"{layer}.bias"] = (maps,)
        if self.output == "rbf":
            extents["output.centers"] = (self.classes, F6_UNITS)
        else:
            extents["output.weight"] = (self.classes, F6_UNITS)
            extents["output.bias"] = (self.classes,)
        return extents

    @property
    def mask_extents(self) -> dict[str, Extents]:
        """The Dropout masks, if there are any."""
        if not self.dropout:
            return {}
        return {"c5.mask": ("n", C5_UNITS), "f6.mask": ("n", F6_UNITS)}
