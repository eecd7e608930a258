"""F(m, 5): m outputs of a convolution's row in m + 4 products instead of 5 m, by Toom–Cook.

::

    outputs = Aᵀ [(G taps) ⊙ (B inputs)]                    ⊙: one product for each point
    Σ_p A[p, o] G[p, t] B[p, i] = 1 if i = o + t else 0     exactly

Both gradients are the same sum read the other way: of the inputs Bᵀ [(G taps) ⊙ (A deltas)], of
the taps Gᵀ [(B inputs) ⊙ (A deltas)]. Row p of each matrix belongs to one point: A and G take the
values there of polynomials with the deltas and the taps as coefficients, B those that belong to the
inputs.

References
----------
Toom 1963; Cook 1966; Winograd, Arithmetic Complexity of Computations, 1980; for convolutional
networks Lavin & Gray 2016, whose Bᵀ is B here.
"""

import functools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from lenet.kernels.functions import Expr
from lenet.networks.sizes import KERNEL_SIZE

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]


@dataclass(frozen=True)
class ToomCook:
    """The three matrices of F(m, 5), from the points; exact.

    Parameters
    ----------
    outputs : int
        m: neighbours that are computed together.
    pairs : tuple of Fraction
        p, of the points p and −p, one after the other; infinity is always the last point.
    zero : bool
        Whether 0 is a point, then the first.
    """

    outputs: int
    pairs: tuple[Fraction, ...]
    zero: bool

    def __post_init__(self) -> None:
        assert self.count == len(self.points) + 1, "as many points as inputs"

    @property
    def count(self) -> int:
        """The number of points, products, and inputs: m + 4."""
        return self.outputs + KERNEL_SIZE - 1

    @property
    def points(self) -> Row:
        """The finite ones, in order."""
        zero = (Fraction(0),) * self.zero
        return (*zero, *(point for p in self.pairs for point in (p, -p)))

    @cached_property
    def A(self) -> Matrix:  # noqa: N802 (the field's name for it)
        """(points, outputs): the values of a polynomial with `outputs` coefficients."""
        return self._values(self.outputs)

    @cached_property
    def G(self) -> Matrix:  # noqa: N802
        """(points, 5): the same of the taps, each row over its point's distances to the others."""
        *finite, infinity = self._values(KERNEL_SIZE)
        others = [[p - q for q in self.points if q != p] for p in self.points]
        distances = [math.prod(each, start=Fraction(1)) for each in others]
        rows = (tuple(v / d for v in row) for row, d in zip(finite, distances, strict=True))
        return (*rows, infinity)

    @cached_property
    def B(self) -> Matrix:  # noqa: N802
        """(points, inputs): the coefficients of Π (x − q) over the other finite points q."""
        others = [tuple(q for q in self.points if q != p) for p in self.points]
        rows = [_with_roots(roots) for roots in (*others, self.points)]
        return tuple((*row, *(Fraction(0),) * (self.count - len(row))) for row in rows)

    def _values(self, coefficients: int) -> Matrix:
        """Powers of the points; at infinity the leading coefficient alone."""
        leading = (Fraction(0),) * (coefficients - 1) + (Fraction(1),)
        return (*(tuple(p**i for i in range(coefficients)) for p in self.points), leading)


def apply(matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
    """The matrix times a vector; rows of p and −p share the halves in which they agree or differ.

    Constants are rounded to float32; terms whose constant is 0 are left out.
    """
    products: list[Expr] = []
    for plus, *minus in _by_pairs(matrix):
        if not minus:
            products.append(_dot(zip(plus, values, strict=True)))
            continue
        columns = list(zip(plus, *minus, values, strict=True))
        agree = _dot((c, v) for c, other, v in columns if c == other)
        differ = _dot((c, v) for c, other, v in columns if c != other)
        products += [agree + differ, agree - differ]
    return products


def apply_transposed(matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
    """The transposed matrix times a vector: v₊ + v₋ and v₊ − v₋ first, then the columns."""
    terms: list[list[tuple[Fraction, Expr]]] = [[] for _ in matrix[0]]
    rest = iter(values)
    for plus, *minus in _by_pairs(matrix):
        if minus:
            v_plus, v_minus = next(rest), next(rest)
            total, difference = v_plus + v_minus, v_plus - v_minus
        else:
            total = difference = next(rest)
        for column, c, other in zip(terms, plus, *(minus or [plus]), strict=True):
            column.append((c, total if c == other else difference))
    return [_dot(column) for column in terms]


def _by_pairs(matrix: Matrix) -> Iterator[tuple[Row, ...]]:
    """A row by itself, or two that are equal but for signs: those of p and −p."""
    rows = list(matrix)
    while rows:
        first, second = rows[0], rows[1] if len(rows) > 1 else ()
        taken = 2 if [*map(abs, first)] == [*map(abs, second)] else 1
        yield tuple(rows[:taken])
        del rows[:taken]


def _with_roots(roots: Row) -> Row:
    """Π (x − q) over the roots q: its coefficients, lowest power first."""
    zero = Fraction(0)
    c: Row = (Fraction(1),)
    for q in roots:
        c = tuple(low - q * high for low, high in zip((zero, *c), (*c, zero), strict=True))
    return c


def _dot(terms: Iterable[tuple[Fraction, Expr]]) -> Expr:
    """The sum of the products, each constant rounded to float32."""
    return functools.reduce(operator.add, (float(np.float32(c)) * v for c, v in terms if c))


# C1's rows are 28 outputs, C3's 10. Of as many points these lose the least, or nearly: gradients
# err two to three times as much as a direct convolution's.
C1 = ToomCook(4, (Fraction(1), Fraction(2), Fraction(1, 2)), zero=True)
C3 = ToomCook(5, (Fraction(1), Fraction(2), Fraction(1, 4), Fraction(2, 3)), zero=False)
