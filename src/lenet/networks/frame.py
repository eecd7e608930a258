"""What every LeNet-5 has in common: the layer names, the walk through them, the shape check."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import InputError, ShapeError

LAYERS = ("c1", "s2", "c3", "s4", "c5", "f6", "output")
C1_MAPS, C3_MAPS, C5_UNITS, F6_UNITS = 6, 16, 120, 84
KERNEL_SIZE = 5
POOLING_SIZE = 2


def convolved(size: int) -> int:
    """Rows of a map after a 5×5 convolution without padding."""
    return size - KERNEL_SIZE + 1


S2_SIZE = convolved(PADDED_SIZE) // POOLING_SIZE  # 14
S4_SIZE = convolved(S2_SIZE) // POOLING_SIZE  # 5
S4_FEATURES = C3_MAPS * S4_SIZE**2  # 400


class LeNet(nn.Module):
    """The frame of a LeNet-5: subclasses define the layers and `walk`.

    Parameters
    ----------
    num_classes : int
        At least 2.
    options : dict
        What else it is built with: with the name and the number of classes, all that is needed to
        build it again.

    Attributes
    ----------
    name : str
        The name `build_network` knows it by.

    Raises
    ------
    TypeError
        When `LeNet` itself is called: the networks are its subclasses.
    InputError
        When there are fewer than two classes.
    """

    name: ClassVar[str]
    any_size: ClassVar[bool] = False
    c1: nn.Module
    s2: nn.Module
    c3: nn.Module
    s4: nn.Module
    c5: nn.Module
    f6: nn.Module
    output: nn.Module
    squash: nn.Module

    def __init__(self, num_classes: int = 10, options: dict[str, Any] | None = None) -> None:
        if type(self) is LeNet:
            raise TypeError(
                "LeNet is what all the networks have in common; make one with lenet.LeNet5(), or "
                "with lenet.build_network('tutorial'), ('modern') or ('lecun1998')"
            )
        super().__init__()
        if num_classes < 2:
            raise InputError(f"num_classes must be at least 2, got {num_classes}")
        self.num_classes = num_classes
        self.options = options or {}

    def walk(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each layer's name and its output, squashed, from `c1` to `output`."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Scores of a batch.

        Parameters
        ----------
        images : (N, 1, 32, 32) float32

        Returns
        -------
        scores : (N, classes) float32, larger is better

        Raises
        ------
        ShapeError
            When the images have another shape.
        """
        self.check(images)
        # One layer's output at a time: nothing that autograd does not need stays alive.
        for name, x in self.walk(images):
            if name == LAYERS[-1]:
                return x
        raise AssertionError(f"{self.name}.walk never reached {LAYERS[-1]}")

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        """Every layer's output by its name; `forward` returns the last."""
        self.check(images)
        return dict(self.walk(images))

    def check(self, images: Tensor) -> None:
        """Refuse images of another shape."""
        shape = tuple(images.shape)
        size = (PADDED_SIZE, PADDED_SIZE)
        fits = len(shape) == 4 and shape[1] == 1
        if self.any_size:
            fits = fits and shape[2] >= PADDED_SIZE and shape[3] >= PADDED_SIZE
        else:
            fits = fits and shape[2:] == size
        if not fits:
            least = " or larger" if self.any_size else ""
            raise ShapeError(
                f"{self.name} takes images of shape (N, 1, {PADDED_SIZE}, {PADDED_SIZE}){least}, "
                f"got {shape}; lenet.data.preprocessing pads 28×28 ink to that size"
            )

    def owners(self) -> Iterator[tuple[str, nn.Module]]:
        """Every module that has parameters of its own, by its name, in the order of the layers."""
        for name, module in self.named_modules():
            if next(module.parameters(recurse=False), None) is not None:
                yield name, module

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters."""
        return next(self.parameters()).dtype
