"""A LeNet behind one autograd function: same parameters, forward and backward fused in Halide."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lenet import threads
from lenet.data.preprocessing import Preprocessing
from lenet.errors import EngineError
from lenet.kernels.compiled import Compiled
from lenet.kernels.coverage import Coverage, why_not_images
from lenet.kernels.fused_step import FusedStep
from lenet.kernels.torch_internals import has_gradient_hooks
from lenet.networks import LeNet


class FusedNetwork(nn.Module):
    """See `lenet.fuse`.

    Attributes
    ----------
    network : LeNet
    fallback : str or None
        Why the last call ran in torch; None when it ran fused.
    """

    network: LeNet
    fallback: str | None
    _coverage: Coverage | None

    def __init__(self, network: LeNet) -> None:
        super().__init__()
        threads.set_threads()
        # The very same registries: names, replaced layers and moved parameters agree by nature.
        self.__dict__.update(
            _parameters=network._parameters,
            _buffers=network._buffers,
            _modules=network._modules,
            training=network.training,
            network=network,
            fallback=None,
            _coverage=None,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "FusedNetwork":
        return FusedNetwork(copy.deepcopy(self.network, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return FusedNetwork, (self.network,)

    def train(self, mode: bool = True) -> "FusedNetwork":
        """Set the mode of the network too."""
        super().train(mode)
        self.network.training = mode
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, 32, 32) float32 → scores (N, classes) float32, larger is better."""
        network = self.network
        network.check(images)
        coverage = self._covered()
        parameters = coverage.parameters()
        gradients = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
        reason = coverage.why_not(parameters, gradients) or why_not_images(images)
        self.__dict__["fallback"] = reason
        if reason is not None:
            scores: Tensor = network(images)
            return scores
        images = images.contiguous()
        masks = () if coverage.dropout is None else coverage.masks(len(images))
        compiled = coverage.compiled(bool(masks))
        if gradients:
            return _fused(compiled, masks, images, *parameters)
        if coverage.norms:
            parameters = _folded(coverage.norms, parameters)
        return compiled.score(images, parameters, masks)

    def backprop(
        self,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        loss: Tensor,
        *,
        distorted: bool,
    ) -> FusedStep | None:
        """See `lenet.engines.Engine.backprop`.

        Parameters
        ----------
        loss : (2,) or (1 + classes,) float32
            Label smoothing, and the weight of one image's loss, or that of an image of each class.

        Returns
        -------
        step : FusedStep or None
            None where torch must do it: `fallback` says why.
        """
        coverage = self._covered()
        parameters = coverage.parameters()
        reason = coverage.why_not(parameters, True)
        if reason is None and any(map(has_gradient_hooks, parameters)):
            reason = "a parameter has hooks"
        self.__dict__["fallback"] = reason
        if reason is not None:
            return None
        return FusedStep(coverage, ink, labels, preprocessing, loss, distorted)

    def compile_scoring(self) -> None:
        """Compile now what scoring a set needs; nothing where torch must do it."""
        coverage = self._covered()
        if coverage.reason is None:
            coverage.compiled().kernel("score_many")

    def compile_training(self) -> None:
        """Compile now what a forward and a backward pass need; nothing where torch must do it."""
        coverage = self._covered()
        if coverage.why_not(coverage.parameters(), True) is None:
            compiled = coverage.compiled(coverage.drops_out)
            compiled.kernel("score_many")
            compiled.kernel("step")

    def _covered(self) -> Coverage:
        """What the kernels cover of the layers as they are now."""
        layers = tuple(self.network._modules.values())
        coverage = self._coverage
        if coverage is None or coverage.layers != layers:
            coverage = self.__dict__["_coverage"] = Coverage(self.network)
        return coverage


class _Fused(torch.autograd.Function):
    """The whole network as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any, code: Compiled, masks: tuple[Tensor, ...], images: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.code, ctx.masks = code, masks
        # No layer's output is kept: storing it costs more than computing it again.
        ctx.save_for_backward(images, *parameters)
        return code.score(images, parameters, masks)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise EngineError(
                "the fused engine has no second derivatives (create_graph=True); "
                "use the torch engine for them"
            )
        images, *parameters = ctx.saved_tensors
        gradients = ctx.code.backward(images, gradient.contiguous(), parameters, ctx.masks)
        needed = ctx.needs_input_grad[3:]
        if not all(needed):
            gradients = [g if wanted else None for g, wanted in zip(gradients, needed, strict=True)]
        return None, None, None, *gradients


_fused: Callable[..., Tensor] = _Fused.apply


def _folded(
    norms: tuple[nn.BatchNorm2d, ...], parameters: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """BatchNorm's running statistics folded into the convolutions before it."""
    tensors = list(parameters)
    for norm, at in zip(norms, (0, 2), strict=True):  # c1 and c3: weight, then bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        tensors[at] = tensors[at] * scale[:, None, None, None]
        tensors[at + 1] = (tensors[at + 1] - norm.running_mean) * scale + norm.bias
    return tuple(tensors)
