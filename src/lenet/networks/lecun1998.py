"""The LeNet-5 of 1998 to the last parameter: 60,000 of them, 340,908 connections."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lenet.networks import codes, frame, plans, sizes
from lenet.networks.layers import RadialBasisOutput, ScaledTanh, Subsampling, TableConvolution


class LeCun1998(frame.LeNet):
    """LeNet-5 as printed.

    Parameters
    ----------
    num_classes : int
    characters : str, optional
        The character that stands for each class, one of the 96 of Fig. 3.
        Default: the digits, or the first `num_classes` of the 96 when there are not ten classes.
    subsampling : {"added", "averaged"}
        Paper: Sec. II.B says added, Sec. II.A averaged.
    trainable_codes : bool
        Paper: the output's centres are fixed "at least initially".

    References
    ----------
    LeCun et al. 1998, Sec. II.B, Fig. 2, Table I.
    """

    name = "lecun1998"
    any_size = True
    s2: Subsampling
    c3: TableConvolution
    s4: Subsampling
    output: RadialBasisOutput

    def __init__(
        self,
        num_classes: int = 10,
        *,
        characters: str | None = None,
        subsampling: str = "added",
        trainable_codes: bool = False,
    ) -> None:
        plan = plans.lecun1998(
            num_classes,
            characters=characters,
            subsampling=subsampling,
            trainable_codes=trainable_codes,
        )
        super().__init__(plan)
        self.squash = ScaledTanh()
        self.c1 = nn.Conv2d(1, sizes.C1_MAPS, sizes.KERNEL_SIZE)
        self.s2 = Subsampling(sizes.C1_MAPS, subsampling)
        self.c3 = TableConvolution()
        self.s4 = Subsampling(sizes.C3_MAPS, subsampling)
        self.c5 = nn.Conv2d(sizes.C3_MAPS, sizes.C5_UNITS, sizes.KERNEL_SIZE)
        self.f6 = nn.Linear(sizes.C5_UNITS, sizes.F6_UNITS)
        self.output = RadialBasisOutput(
            torch.from_numpy(codes.encode(plan.options["characters"])), trainable_codes
        )

    def walk(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(N, 1, 32, 32) → (N, classes); a larger image gives (N, classes, rows, columns).

        Paper: every unit up to F6 squashes its weighted sum, those of S2 and S4 too.
        """
        x = self.squash(self.c1(images))
        yield "c1", x  # (N, 6, 28, 28)
        x = self.squash(self.s2(x))
        yield "s2", x  # (N, 6, 14, 14)
        x = self.squash(self.c3(x))
        yield "c3", x  # (N, 16, 10, 10)
        x = self.squash(self.s4(x))
        yield "s4", x  # (N, 16, 5, 5)
        x = self.squash(self.c5(x))
        yield "c5", x  # (N, 120, 1, 1)
        # (N, 120, rows, columns) → (N, rows, columns, 120): F6 and the output see one position
        x = self.squash(self.f6(x.movedim(1, -1)))
        features = x.movedim(-1, 1)
        scores = self.output(x).movedim(-1, 1)
        if scores.shape[2:] == (1, 1):
            features, scores = features.flatten(1), scores.flatten(1)
        yield "f6", features  # (N, 84)
        yield "output", scores
