"""What every LeNet-5 has in common: the layer names, the walk through them, the shape check."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import ShapeError
from lenet.networks.plans import Plan
from lenet.networks.sizes import LAYERS


class LeNet(nn.Module):
    """The frame of a LeNet-5: subclasses define the layers and `walk`.

    Parameters
    ----------
    plan : Plan
        All that is needed to build it again.

    Attributes
    ----------
    name : str
        The name `build_network` knows it by.
    num_classes : int
    options : dict
        What else it is built with.

    Raises
    ------
    TypeError
        When `LeNet` itself is called: the networks are its subclasses.
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

    def __init__(self, plan: Plan | None = None) -> None:
        if plan is None:
            raise TypeError(
                "LeNet is what all the networks have in common; make one with lenet.LeNet5(), or "
                "with lenet.build_network('tutorial'), ('modern') or ('lecun1998')"
            )
        super().__init__()
        self.plan = plan
        self.num_classes = plan.num_classes
        self.options = plan.options

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
