"""A network in numbers, layer by layer: shapes, parameters, connections, multiply-adds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from lenet.networks.parts import Part, Shape
from lenet.networks.plans import Plan

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LayerSummary:
    """One row of the table.

    Parameters
    ----------
    layer : str
    kind : str
    output_shape : tuple of int
        Without the batch: (maps, rows, columns) or (units,).
    parameters : int
        Trainable ones.
    connections : int
        Links into the layer's units, a trainable bias counting as one, as the paper counts them.
    multiply_adds : int
        Multiplications of one image's forward pass, each with its addition; squashing not counted.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    connections: int
    multiply_adds: int


class Summary(tuple[LayerSummary, ...]):
    """The rows of a network, one after another; printed, or shown by a notebook, it is a table."""

    __slots__ = ()
    head = ("layer", "kind", "output", "parameters", "connections", "multiply-adds")
    text_columns = 2
    """On the left; what follows are numbers."""

    def cells(self) -> list[tuple[str, ...]]:
        """The table's rows as text, and one of totals."""
        rows = [
            (
                row.layer,
                row.kind,
                " × ".join(map(str, row.output_shape)),
                *(f"{getattr(row, counted):,}" for counted in _COUNTED),
            )
            for row in self
        ]
        totals = (f"{sum(getattr(row, counted) for row in self):,}" for counted in _COUNTED)
        return [*rows, ("total", "", "", *totals)]

    def __repr__(self) -> str:
        *rows, total = lines = [self.head, *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = ("─" * (sum(widths) + 2 * len(widths) - 2),)
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place < self.text_columns else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=False))
            ).rstrip()
            for line in [rows[0], rule, *rows[1:], rule, total]
        )

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[str]) -> str:
            sides = ["left"] * self.text_columns + ["right"] * (len(cells) - self.text_columns)
            return "".join(
                f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
                for cell, side in zip(cells, sides, strict=True)
            )

        *rows, total = self.cells()
        body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
        return (
            f"<table><thead><tr>{line('th', self.head)}</tr></thead><tbody>{body}</tbody>"
            f"<tfoot><tr>{line('th', total)}</tr></tfoot></table>"
        )


_COUNTED = ("parameters", "connections", "multiply_adds")


def summarize(network: "nn.Module | Plan") -> Summary:
    """The rows of `lenet summary` for a 32×32 image.

    Parameters
    ----------
    network : LeNet or Plan
        Or another's module: see `lenet.networks.recognition.as_lenet`. Its mode is kept.

    Returns
    -------
    rows : Summary
        A `LayerSummary` for each layer, C1 to the output; it prints as a table.

    Raises
    ------
    InputError
        When a layer is not one of those that are counted here, or a module is not a LeNet-5.

    References
    ----------
    LeCun et al. 1998, Sec. II.B, for the counts of the 1998 network.
    """
    if isinstance(network, Plan):
        return Summary(
            _row(name, layer.parts, layer.shape, sum(part.parameters for part in layer.parts))
            for name, layer in network.layers.items()
        )
    from lenet.networks.described import describe
    from lenet.networks.recognition import as_lenet

    return Summary(_row(*layer) for layer in describe(as_lenet(network)))


def _row(name: str, parts: tuple[Part, ...], shape: Shape, parameters: int) -> LayerSummary:
    kind = " + ".join(part.kind for part in parts)
    return LayerSummary(name, kind, shape, parameters, *parts[0].work(math.prod(shape)))


def count_flops(network: "nn.Module | Plan") -> dict[str, int]:
    """Multiplications and additions of one image with the layers' weights, by direction.

    Back through a layer costs its weights' gradient and its input's, each as much as forward;
    C1 has no use for its input's.

    Parameters
    ----------
    network : LeNet or Plan

    Returns
    -------
    flops : dict
        `forward`, and `backward`, which a training step adds.

    Raises
    ------
    InputError
        As `summarize`.
    """
    layers = {row.layer: 2 * row.multiply_adds for row in summarize(network)}
    forward = sum(layers.values())
    return {"forward": forward, "backward": 2 * forward - layers["c1"]}
