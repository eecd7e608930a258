"""Networks by the fused kernels of `lenet.kernels`, on the CPU."""

import contextlib
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet import threads
from lenet.data.preprocessing import Preprocessing
from lenet.engines.in_torch import Backprop, Engine, check_chosen
from lenet.errors import LenetWarning
from lenet.networks.recognition import as_lenet

if TYPE_CHECKING:
    from lenet.kernels.fused import FusedNetwork


class FusedEngine(Engine):
    """The kernels of `lenet.kernels` on the CPU; torch for what they do not cover."""

    name = "fused"

    def compile(self, network: nn.Module) -> nn.Module:
        """See `Engine.compile`."""
        return fuse(network.to(self.device))

    def compile_scoring(self, module: nn.Module) -> None:
        """See `Engine.compile_scoring`."""
        from lenet.kernels.compiled import kernel

        kernel("gather", False)
        _fused(module).compile_scoring()

    def cores(self) -> contextlib.AbstractContextManager[None]:
        """See `Engine.cores`."""
        return threads.one_torch_thread()

    def _gather(
        self,
        ink: Tensor,
        indices: Tensor,
        preprocessing: Preprocessing,
        matrices: NDArray[np.float32] | None,
    ) -> Tensor:
        if not (ink.is_cpu and indices.is_cpu):
            return super()._gather(ink, indices, preprocessing, matrices)
        from lenet.kernels.compiled import gather

        return gather(ink, indices, preprocessing, matrices)

    def backprop(
        self,
        module: nn.Module,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        *,
        weight: float | Tensor,
        label_smoothing: float = 0.0,
        distorted: bool = False,
    ) -> Backprop:
        """See `Engine.backprop`."""
        through_autograd = super().backprop(
            module, ink, labels, preprocessing, weight=weight, label_smoothing=label_smoothing
        )
        weights = torch.as_tensor(weight, dtype=torch.float32).reshape(-1).cpu()
        loss = torch.cat([torch.tensor([label_smoothing]), weights])
        step = _fused(module).backprop(ink, labels, preprocessing, loss, distorted=distorted)
        if step is None:
            from lenet.kernels.compiled import kernel

            kernel("gather", distorted)
            return through_autograd

        def backprop(indices: Tensor, matrices: NDArray[np.float32] | None = None) -> Tensor:
            if not len(indices):
                return through_autograd(indices, matrices)
            check_chosen(indices, matrices)
            return step(indices, matrices)

        return backprop

    def backprop_of(
        self,
        module: nn.Module,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        distorted: bool = False,
    ) -> Backprop:
        """See `Engine.backprop_of`."""
        from lenet.kernels.compiled import kernel

        kernel("gather", distorted)
        _fused(module).compile_training()
        return super().backprop_of(module, ink, labels, preprocessing, loss)

    def updater(self, optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
        """See `Engine.updater`."""
        from lenet.kernels.updates import updater

        return updater(optimizer)


def fuse(network: nn.Module) -> nn.Module:
    """What `torch.compile` would be if it knew LeNet.

    Parameters
    ----------
    network : LeNet
        Or another's module that computes a LeNet-5: see `lenet.networks.recognition.as_lenet`.

    Returns
    -------
    fused : nn.Module
        Takes (N, 1, 32, 32) float32 images, gives (N, classes) float32 scores. Its layers and
        parameters are the network's own objects, under the same names (another's parameters under
        the names of a `LeNet`): `state_dict`, hooks on
        parameters, any loss and any optimizer work as with the network. What the kernels do not
        cover runs in torch, and `fused.fallback` says why: another device or type, larger images,
        gradients with respect to the images, hooks on layers, a changed layer, BatchNorm in
        training (in evaluation it is folded into the convolutions).

    Raises
    ------
    EngineError
        When Halide is not installed.
    InputError
        When the module is not a LeNet-5.

    Warns
    -----
    LenetWarning
        When torch will run all of it, because a layer is none that the kernels know.
    """
    from lenet.kernels.coverage import unknown_layers
    from lenet.kernels.fused import FusedNetwork

    network = as_lenet(network)
    unknown = unknown_layers(network)
    if unknown is not None:
        warnings.warn(f"{unknown}; torch runs this network", LenetWarning, stacklevel=2)
    return FusedNetwork(network)


def _fused(module: nn.Module) -> "FusedNetwork":
    from lenet.kernels.fused import FusedNetwork

    assert isinstance(module, FusedNetwork), "a module of this engine's compile"
    return module
