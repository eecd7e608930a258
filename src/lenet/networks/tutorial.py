"""The article's LeNet-5: logistic sigmoid, average pooling, dense C3, 61,706 parameters."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lenet.networks import frame, plans, sizes


class Tutorial(frame.LeNet):
    """The network that most lessons call LeNet-5.

    Departs: the 1998 network squashes with a scaled tanh, its pooling is trainable, its C3 is
    sparse, C5 is a convolution and the output is made of radial basis units: see `lecun1998`.
    """

    name = "tutorial"

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(plans.tutorial(num_classes))
        self.squash = nn.Sigmoid()
        self.c1 = nn.Conv2d(1, sizes.C1_MAPS, sizes.KERNEL_SIZE)
        self.s2 = nn.AvgPool2d(sizes.POOLING_SIZE)
        self.c3 = nn.Conv2d(sizes.C1_MAPS, sizes.C3_MAPS, sizes.KERNEL_SIZE)
        self.s4 = nn.AvgPool2d(sizes.POOLING_SIZE)
        self.c5 = nn.Linear(sizes.S4_FEATURES, sizes.C5_UNITS)
        self.f6 = nn.Linear(sizes.C5_UNITS, sizes.F6_UNITS)
        self.output = nn.Linear(sizes.F6_UNITS, num_classes)

    def walk(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(N, 1, 32, 32) → (N, classes), layer by layer."""
        x = self.squash(self.c1(images))
        yield "c1", x  # (N, 6, 28, 28)
        x = self.s2(x)
        yield "s2", x  # (N, 6, 14, 14)
        x = self.squash(self.c3(x))
        yield "c3", x  # (N, 16, 10, 10)
        x = self.s4(x)
        yield "s4", x  # (N, 16, 5, 5)
        x = self.squash(self.c5(torch.flatten(x, 1)))
        yield "c5", x  # (N, 120)
        x = self.squash(self.f6(x))
        yield "f6", x  # (N, 84)
        yield "output", self.output(x)


class LeNet5(nn.Module):
    """The article's class: the tutorial network's layers, under the article's names.

    Parameters
    ----------
    num_classes : int

    Notes
    -----
    What a state dict of the article's code holds, `load_state_dict` takes. `lenet.train`, `fuse`,
    `summarize` and `Checkpoint` take it as they take any module with these layers.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        our = Tutorial(num_classes)
        self.features = nn.Sequential(our.c1, our.squash, our.s2, our.c3, our.squash, our.s4)
        self.classifier = nn.Sequential(our.c5, our.squash, our.f6, our.squash, our.output)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, 32, 32) → scores (N, classes), larger is better."""
        scores: Tensor = self.classifier(torch.flatten(self.features(images), 1))
        return scores


_ARTICLE_LAYERS = {
    "features.0": "c1",
    "features.3": "c3",
    "classifier.0": "c5",
    "classifier.2": "f6",
    "classifier.4": "output",
}

ARTICLE_KEYS = {
    f"{theirs}.{part}": f"{ours}.{part}"
    for theirs, ours in _ARTICLE_LAYERS.items()
    for part in ("weight", "bias")
}
"""The article's names of the weights, in its order, and ours."""


def to_article(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the article's keys, in the article's order."""
    return {theirs: state[ours] for theirs, ours in ARTICLE_KEYS.items()}
