"""Networks in NumPy: the forward pass of a few images; torch is not loaded, nothing compiled."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from lenet.data.preprocessing import Preprocessing, check_ink
from lenet.networks.activations import SQUASHES
from lenet.networks.models import Model
from lenet.networks.parts import (
    BatchNorm,
    Convolution,
    Dense,
    Part,
    Pooling,
    RadialBasis,
    Subsampled,
)
from lenet.networks.plans import Layer

_BLOCK = 4
"""Images computed together. OpenBLAS spreads a product of more than 262,144 multiplications (of
six images in C5) over its threads, and waits up to 24 ms for them on a busy machine."""
_CHUNK = 64 * _BLOCK  # images prepared together: a frame of float32 has five times the bytes of ink

Values = NDArray[np.float32]
Step = Callable[[Values], Values]


class NumpyNetwork:
    """A network with its weights laid out for NumPy.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._steps = [
            (name, _steps(name, layer, model)) for name, layer in model.plan.layers.items()
        ]

    def __reduce__(self) -> tuple[type["NumpyNetwork"], tuple[Model]]:
        return NumpyNetwork, (self.model,)

    def __call__(self, images: Values) -> Values:
        """(N, 1, 32, 32) → scores (N, classes), larger is better."""
        # At least once, so that no images have their classes too.
        blocks = [
            self._scores(images[first : first + _BLOCK])
            for first in range(0, max(len(images), 1), _BLOCK)
        ]
        return np.concatenate(blocks)

    def _scores(self, images: Values) -> Values:
        *_, (_, scores) = self._walk(images)
        return scores

    def activations(self, images: Values) -> dict[str, Values]:
        """Every layer's output by its name, squashed, as `LeNet.activations` has them."""
        return dict(self._walk(images))

    def _walk(self, images: Values) -> Iterator[tuple[str, Values]]:
        x = images
        for name, steps in self._steps:
            # Whoever uses the scores looks whether they are finite: weights may be too large.
            with np.errstate(over="ignore", invalid="ignore"):
                for step in steps:
                    x = step(x)
            yield name, x


class NumpyEngine:
    """NumPy, in one thread: see `select_scorer`."""

    name = "numpy"
    notice = "engine numpy on cpu"

    def __repr__(self) -> str:
        return f"<{self.notice}>"

    def load(self, model: Model) -> NumpyNetwork:
        """The model, ready to score."""
        return NumpyNetwork(model)

    def scores(
        self, network: NumpyNetwork, ink: NDArray[np.uint8], preprocessing: Preprocessing
    ) -> NDArray[np.float32]:
        """See `lenet.engines.Engine.scores`."""
        check_ink(ink)
        chunks = [
            network(preprocessing.apply(ink[first : first + _CHUNK]))
            for first in range(0, max(len(ink), 1), _CHUNK)
        ]
        return np.concatenate(chunks)


def layers_of(
    network: NumpyNetwork,
    ink: NDArray[np.uint8],
    preprocessing: Preprocessing,
    names: Iterable[str],
) -> dict[str, Values]:
    """Some layers' outputs for a whole set.

    Parameters
    ----------
    network : NumpyNetwork
    ink : (N, 28, 28) uint8
    preprocessing : Preprocessing
    names : iterable of str

    Returns
    -------
    outputs : dict of str to (N, …) float32
    """
    check_ink(ink)
    chunks: dict[str, list[Values]] = {name: [] for name in names}
    for first in range(0, max(len(ink), 1), _BLOCK):
        outputs = network.activations(preprocessing.apply(ink[first : first + _BLOCK]))
        for name, parts in chunks.items():
            parts.append(outputs[name])
    return {name: np.concatenate(parts) for name, parts in chunks.items()}


def _steps(name: str, layer: Layer, model: Model) -> list[Step]:
    """What one layer does, in order."""
    weights = _weights_of(name, layer.part, model)
    if layer.norm is not None:
        weights = _normalized(weights, _weights_of(layer.norm, BatchNorm(layer.shape[0]), model))
    steps: list[Step] = [_RULES[type(layer.part)](layer.part, **weights)]
    if layer.squashed:
        steps.append(SQUASHES[model.plan.activation])
    return steps


def _weights_of(owner: str, part: Part, model: Model) -> dict[str, Values]:
    return {name: model.weights[f"{owner}.{name}"] for name in part.shapes}


def _normalized(weights: dict[str, Values], norm: dict[str, Values]) -> dict[str, Values]:
    """A convolution's weights with the BatchNorm behind it folded in."""
    factor = norm["weight"] / np.sqrt(norm["running_var"] + np.float32(BatchNorm.epsilon))
    return {
        # (maps,) → (maps, 1, 1, 1), over a map's kernels
        "weight": weights["weight"] * factor[:, None, None, None],
        "bias": (weights["bias"] - norm["running_mean"]) * factor + norm["bias"],
    }


# --- What a part does: its weights laid out once, then values in, values out ----------------------


def _convolution(part: Convolution, weight: Values, bias: Values) -> Step:
    rows, columns = part.kernel
    dense = np.zeros((part.outputs, part.inputs, rows, columns), np.float32)
    outputs, inputs = np.array(part.links).T
    dense[outputs, inputs] = weight.reshape(-1, rows, columns)
    matrix = dense.reshape(part.outputs, -1)
    column = bias[:, None]

    def step(x: Values) -> Values:
        """(n, inputs, H, W) → (n, outputs, H − rows + 1, W − columns + 1)."""
        n, maps, height, width = x.shape
        size = (height - rows + 1, width - columns + 1)
        s_image, s_map, s_row, s_column = x.strides
        strides = (s_image, s_map, s_row, s_column, s_row, s_column)
        windows = as_strided(x, (n, maps, rows, columns, *size), strides, writeable=False)
        # Every window becomes a column: (n, maps·rows·columns, places)
        inputs = windows.reshape(n, maps * rows * columns, size[0] * size[1])
        return (matrix @ inputs + column).reshape(n, part.outputs, *size)

    return step


def _dense(part: Dense, weight: Values, bias: Values) -> Step:
    matrix = np.ascontiguousarray(weight.T)

    def step(x: Values) -> Values:
        """(n, …) → (n, outputs), every image's values in a row."""
        return x.reshape(len(x), part.inputs) @ matrix + bias

    return step


def _pooling(part: Pooling) -> Step:
    def step(x: Values) -> Values:
        """(n, maps, H, W) → (n, maps, H/2, W/2)."""
        if part.of == "max":
            return np.maximum(np.maximum(*_rows(x, 0)), np.maximum(*_rows(x, 1)))
        return _total(x) * np.float32(1 / part.area)

    return step


def _subsampling(part: Subsampled, coefficient: Values, bias: Values) -> Step:
    # (maps,) → (maps, 1, 1), over rows and columns
    factor = (coefficient * np.float32(part.weight_of_an_input))[:, None, None]
    term = bias[:, None, None]

    def step(x: Values) -> Values:
        """(n, maps, H, W) → (n, maps, H/2, W/2)."""
        return _total(x) * factor + term

    return step


def _rows(x: Values, row: int) -> tuple[Values, Values]:
    """The left and the right values in one row of every 2×2 window."""
    return x[..., row::2, ::2], x[..., row::2, 1::2]


def _total(x: Values) -> Values:
    """The sum of every 2×2 window."""
    return np.add(*_rows(x, 0)) + np.add(*_rows(x, 1))


def _radial_basis(part: RadialBasis, centers: Values) -> Step:
    def step(x: Values) -> Values:
        """(n, features) → (n, classes): minus the squared distances, Eq. (7) of 1998."""
        scores: Values = -np.square(x[:, None, :] - centers).sum(-1)
        return scores

    return step


_RULES: dict[type[Part], Callable[..., Step]] = {
    Convolution: _convolution,
    Dense: _dense,
    Pooling: _pooling,
    Subsampled: _subsampling,
    RadialBasis: _radial_basis,
}
