"""Every squashing function by its name, in NumPy: each acts on every value by itself."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]  # float32

# Paper: A = 1.7159, S = 2/3 (Sec. II.B and Appendix A).
AMPLITUDE, SLOPE = 1.7159, 2 / 3
_HALF_ROOT = math.sqrt(0.5)
_TWO_ROOTS = 2 * math.sqrt(2 / math.pi)


def _relu(x: Values) -> Values:
    return np.maximum(x, 0)


def _sigmoid(x: Values) -> Values:
    # The same as 1 / (1 + exp(−x)), without its overflow.
    squashed: Values = 0.5 * np.tanh(0.5 * x) + 0.5
    return squashed


def _scaled_tanh(x: Values) -> Values:
    squashed: Values = AMPLITUDE * np.tanh(SLOPE * x)
    return squashed


def _leaky_relu(x: Values) -> Values:
    return np.maximum(x, np.float32(0.01) * x)


def _elu(x: Values) -> Values:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _gelu(x: Values) -> Values:
    squashed: Values = 0.5 * x * (1 + _erf(_HALF_ROOT * x))
    return squashed


def _erf(x: Values) -> Values:
    """The error function to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26)."""
    size = np.abs(x)
    t: Values = 1 / (1 + 0.3275911 * size)
    series = np.zeros_like(t)
    for term in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + term) * t
    erf: Values = np.copysign(1 - series * np.exp(-size * size), x)
    return erf


def _gelu_tanh(x: Values) -> Values:
    squashed: Values = x * _sigmoid(_TWO_ROOTS * (x + 0.044715 * (x * x * x)))
    return squashed


def _silu(x: Values) -> Values:
    return x * _sigmoid(x)


def _hard_tanh(x: Values) -> Values:
    return np.clip(x, -1, 1)


def _hard_sigmoid(x: Values) -> Values:
    return np.clip(x / 6 + 0.5, 0, 1)


def _hard_swish(x: Values) -> Values:
    return x * _hard_sigmoid(x)


SQUASHES: dict[str, Callable[[Values], Values]] = {
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "scaled-tanh": _scaled_tanh,
    "leaky-relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "gelu-tanh": _gelu_tanh,
    "silu": _silu,
    "hard-tanh": _hard_tanh,
    "hard-sigmoid": _hard_sigmoid,
    "hard-swish": _hard_swish,
}
"""The names are those of `lenet.networks.layers.ACTIVATIONS`, which has the same in torch."""
