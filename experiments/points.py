"""Which points lose little: python experiments/points.py

Prints, for the points that the kernels use and for others, how much the three linear maps of a
convolution by points amplify rounding, and the best choices of four pairs for five outputs.
"""

import itertools
from fractions import Fraction

import numpy as np

from lenet.kernels.toomcook import C1, C3, ToomCook, apply
from lenet.networks.sizes import KERNEL_SIZE

NUMBERS = [Fraction(*n) for n in ((1, 4), (1, 3), (1, 2), (2, 3), (3, 4), (4, 5), (1, 1))]
NUMBERS = sorted({*NUMBERS, *(1 / n for n in NUMBERS)})


def amplification(at: ToomCook) -> float:
    """The root of the summed squares of all products of the maps' coefficients."""
    inputs, taps, outputs = np.eye(at.count), np.eye(KERNEL_SIZE), np.eye(at.outputs)
    squares = [
        sum(np.square(apply(matrix, column)) for column in identity)
        for matrix, identity in ((at.B, inputs), (at.G, taps), (at.A, outputs))
    ]
    return float(np.sqrt(np.prod(squares, axis=0).sum()))


def main() -> None:
    """Print the table."""
    known = {
        "F(2, 5): 0, ±1, ±2": ToomCook(2, (1, 2), zero=True),
        "C1, F(4, 5): 0, ±1, ±2, ±1/2": C1,
        "C3, F(5, 5): ±1, ±2, ±1/4, ±2/3": C3,
    }
    for name, at in known.items():
        print(f"{amplification(at):6.1f}  {name}")
    choices = {
        pairs: amplification(ToomCook(5, tuple(map(float, pairs)), zero=False))
        for pairs in itertools.combinations(NUMBERS, 4)
    }
    print("the best of all choices of four pairs:")
    for pairs in sorted(choices, key=choices.__getitem__)[:5]:
        print(f"{choices[pairs]:6.1f}  {', '.join(f'±{p}' for p in pairs)}")


if __name__ == "__main__":
    main()
