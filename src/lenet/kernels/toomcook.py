"""A row of a convolution in fewer products: the linear maps to the points and back."""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lenet.kernels.functions import Expr
from lenet.networks.frame import KERNEL_SIZE

_Map = Callable[[Sequence[Expr]], list[Expr]]
Matrix = tuple[_Map, _Map]


@dataclass(frozen=True)
class ToomCook:
    """Where the polynomials of a row of a convolution are known: 0, ±p for each pair, infinity.

    Neighbouring outputs with their taps and inputs are a piece of a product of polynomials, and
    that is known from its values at as many points as there are inputs: so many products, instead
    of outputs times taps. (Toom 1963, Cook 1966; Winograd, Arithmetic Complexity of Computations,
    1980.) Of each linear map the backward pass takes the transpose.

    Parameters
    ----------
    outputs : int
        Neighbours that are computed together.
    pairs : tuple of float
        p, of the points p and -p.
    zero : bool
        Whether 0 is a point.
    """

    outputs: int
    pairs: tuple[float, ...]
    zero: bool

    @property
    def count(self) -> int:
        """The number of points, products, and inputs."""
        return self.zero + 2 * len(self.pairs) + 1

    @property
    def points(self) -> list[float]:
        """The finite points, in order."""
        return [0.0] * self.zero + [q for p in self.pairs for q in (p, -p)]

    @property
    def A(self) -> "Matrix":  # noqa: N802 (the field's name)
        """Outputs or deltas to the points, and back."""
        return self.evaluate, lambda v: self.evaluate_transposed(v, self.outputs)

    @property
    def G(self) -> "Matrix":  # noqa: N802
        """Taps to the points, and back."""
        return self.evaluate_taps, self.evaluate_taps_transposed

    @property
    def B(self) -> "Matrix":  # noqa: N802
        """Inputs to the points, and back."""
        return self.evaluate_inputs, self.evaluate_inputs_transposed

    def evaluate(self, c: Sequence[Expr]) -> list[Expr]:
        """A polynomial's coefficients, lowest power first → its values at the points."""
        values = [c[0]] if self.zero else []
        for p in self.pairs:
            powers = [p**i for i in range(len(c))]
            even, odd = _dot(powers[::2], c[::2]), _dot(powers[1::2], c[1::2])
            values += [even + odd, even - odd]
        return [*values, c[-1]]

    def evaluate_transposed(self, v: Sequence[Expr], n: int) -> list[Expr]:
        """Values at the points → `n` sums over the points; of products, the outputs."""
        zero, pairs, infinity = self._apart(v)
        parts = [[plus + minus for plus, minus in pairs], [plus - minus for plus, minus in pairs]]
        sums = [_dot([p**i for p in self.pairs], parts[i % 2]) for i in range(n)]
        return [sum(zero, sums[0]), *sums[1:-1], sums[-1] + infinity]

    def evaluate_taps(self, w: Sequence[Expr]) -> list[Expr]:
        """Taps → their values at the points, each over its distances to the other points."""
        return self._over_distances(self.evaluate(w))

    def evaluate_taps_transposed(self, v: Sequence[Expr]) -> list[Expr]:
        """Sums of products at the points → what they say of the taps."""
        return self.evaluate_transposed(self._over_distances(v), KERNEL_SIZE)

    def evaluate_inputs(self, d: Sequence[Expr]) -> list[Expr]:
        """Neighbouring inputs → their values at the points."""
        # Polynomials that vanish at all other points: a polynomial in x², times x if 0 is one of
        # them, times x + p for the point p.
        vanishing, d_x = self._vanishing(), d[self.zero :]
        values = [_dot(vanishing, d[::2])] if self.zero else []
        for p in self.pairs:
            others = self._vanishing(p)
            low, high = _dot([p * c for c in others], d_x[::2]), _dot(others, d_x[1::2])
            values += [high + low, high - low]
        return [*values, _dot(vanishing, d_x[::2])]

    def evaluate_inputs_transposed(self, v: Sequence[Expr]) -> list[Expr]:
        """Sums of products at the points → what they say of the inputs."""
        zero, pairs, infinity = self._apart(v)
        terms: list[list[tuple[float, Expr]]] = [[] for _ in range(self.count)]

        def add(lowest: int, coefficients: Sequence[float], value: Expr) -> None:
            for i, c in enumerate(coefficients):
                terms[lowest + 2 * i].append((c, value))

        for p, (plus, minus) in zip(self.pairs, pairs, strict=True):
            others = self._vanishing(p)
            add(self.zero, [p * c for c in others], plus - minus)
            add(self.zero + 1, others, plus + minus)
        add(self.zero, self._vanishing(), infinity)
        for value in zero:
            add(0, self._vanishing(), value)
        return [_dot(*zip(*some, strict=True)) for some in terms]

    def _apart(self, v: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]], Expr]:
        """Values at the points: at 0 (or none), at the pairs, at infinity."""
        zero, pairs = list(v[: self.zero]), v[self.zero : -1]
        return zero, list(zip(pairs[::2], pairs[1::2], strict=True)), v[-1]

    def _vanishing(self, but: float = 0) -> list[float]:
        """The product of x² - p² over the pairs `but` one: its coefficients in x²."""
        c = [1.0]
        for p in self.pairs:
            if p != but:
                c = [low - p**2 * high for low, high in zip([0.0, *c], [*c, 0.0], strict=True)]
        return c

    def _over_distances(self, v: Sequence[Expr]) -> list[Expr]:
        """Values over the product of their point's distances to the other finite points."""
        points = [0.0] * self.zero + [sign * p for p in self.pairs for sign in (1, -1)]
        distances = [math.prod(a - b for b in points if b != a) for a in points]
        return [*(_dot([1 / d], [u]) for d, u in zip(distances, v[:-1], strict=True)), v[-1]]


def _dot(coefficients: Sequence[float], values: Sequence[Expr]) -> Expr:
    """The sum of the first values times the coefficients, those rounded to float32."""
    terms = [float(np.float32(c)) * v for c, v in zip(coefficients, values, strict=False)]
    return functools.reduce(operator.add, terms)


def apply(matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
    """The matrix times the values."""
    return matrix[0](values)


def apply_transposed(matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
    """The transposed matrix times the values."""
    return matrix[1](values)


# C1's rows are 28 outputs, C3's 10. Of as many points these lose the least, or nearly: gradients
# err two to three times as much as a direct convolution's.
C1 = ToomCook(4, (1, 2, 1 / 2), zero=True)
C3 = ToomCook(5, (1, 2, 1 / 4, 2 / 3), zero=False)
