"""How large a LeNet-5 is: the names of its layers, their maps and units, and Table I."""

from lenet.data.preprocessing import PADDED_SIZE

LAYERS = ("c1", "s2", "c3", "s4", "c5", "f6", "output")
C1_MAPS, C3_MAPS, C5_UNITS, F6_UNITS = 6, 16, 120, 84
KERNEL_SIZE = 5
POOLING_SIZE = 2


def convolved(size: int) -> int:
    """Rows of a map after a 5×5 convolution without padding."""
    return size - KERNEL_SIZE + 1


C1_SIZE = convolved(PADDED_SIZE)  # 28
S2_SIZE = C1_SIZE // POOLING_SIZE  # 14
C3_SIZE = convolved(S2_SIZE)  # 10
S4_SIZE = C3_SIZE // POOLING_SIZE  # 5
S4_FEATURES = C3_MAPS * S4_SIZE**2  # 400

Table = tuple[tuple[int, ...], ...]
"""For each output map of a convolution, the input maps it sees, ascending."""

# Paper: Table I. For each C3 map, the S2 maps it sees.
TABLE_I: Table = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
