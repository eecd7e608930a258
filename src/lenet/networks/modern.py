"""LeNet-5 with the modern changes the article lists: ReLU, max pooling, Dropout, BatchNorm."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lenet.networks import frame, plans, sizes
from lenet.networks.layers import ACTIVATIONS, POOLINGS


class Modern(frame.LeNet):
    """The same frame and as many parameters as the article's network.

    Parameters
    ----------
    num_classes : int
    activation : str
        A name in `lenet.networks.layers.ACTIVATIONS`.
    pooling : {"max", "average"}
    dropout : float
        Share of C5's and F6's outputs silenced in training, 0 ≤ dropout < 1.
    batch_norm : bool
        BatchNorm after C1 and C3, before squashing: 44 parameters more.
    """

    name = "modern"

    def __init__(
        self,
        num_classes: int = 10,
        *,
        activation: str = "relu",
        pooling: str = "max",
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(
            plans.modern(
                num_classes,
                activation=activation,
                pooling=pooling,
                dropout=dropout,
                batch_norm=batch_norm,
            )
        )
        self.squash = ACTIVATIONS[activation]()
        self.c1 = nn.Conv2d(1, sizes.C1_MAPS, sizes.KERNEL_SIZE)
        self.norm1 = nn.BatchNorm2d(sizes.C1_MAPS) if batch_norm else nn.Identity()
        self.s2 = POOLINGS[pooling](sizes.POOLING_SIZE)
        self.c3 = nn.Conv2d(sizes.C1_MAPS, sizes.C3_MAPS, sizes.KERNEL_SIZE)
        self.norm3 = nn.BatchNorm2d(sizes.C3_MAPS) if batch_norm else nn.Identity()
        self.s4 = POOLINGS[pooling](sizes.POOLING_SIZE)
        self.c5 = nn.Linear(sizes.S4_FEATURES, sizes.C5_UNITS)
        self.f6 = nn.Linear(sizes.C5_UNITS, sizes.F6_UNITS)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(sizes.F6_UNITS, num_classes)

    def walk(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(N, 1, 32, 32) → (N, classes), layer by layer."""
        x = self.squash(self.norm1(self.c1(images)))
        yield "c1", x  # (N, 6, 28, 28)
        x = self.s2(x)
        yield "s2", x  # (N, 6, 14, 14)
        x = self.squash(self.norm3(self.c3(x)))
        yield "c3", x  # (N, 16, 10, 10)
        x = self.s4(x)
        yield "s4", x  # (N, 16, 5, 5)
        x = self.dropout(self.squash(self.c5(torch.flatten(x, 1))))
        yield "c5", x  # (N, 120)
        x = self.dropout(self.squash(self.f6(x)))
        yield "f6", x  # (N, 84)
        yield "output", self.output(x)
