"""Every squashing function by its name, in NumPy: each acts on every value by itself."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

# Paper: A = 1.7159, S = 2/3 (Sec. II.B and Appendix A).
AMPLITUDE, SLOPE = 1.7159, 2 / 3


def _relu(x: Values) -> Values:
    return np.maximum(x, 0)


def _sigmoid(x: Values) -> Values:
    # The same as 1 / (1 + exp(−x)), without its overflow.
    squashed: Values = 0.5 * np.tanh(0.5 * x) + 0.5
    return squashed


def _scaled_tanh(x: Values) -> Values:
    squashed: Values = AMPLITUDE * np.tanh(SLOPE * x)
    return squashed


SQUASHES: dict[str, Callable[[Values], Values]] = {
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "scaled-tanh": _scaled_tanh,
}
"""The names are those of `lenet.networks.layers.ACTIVATIONS`, which has the same in torch."""
