"""The optimizer of 1998: a learning rate per weight, from the diagonal of the Gauss–Newton matrix.

The diagonal comes from a second-order backward pass, Eqs. (25) and (27): where back-propagation
multiplies by a weight, it multiplies by the weight's square, and where it multiplies by an input,
by the input's square. Here it *is* a backward pass of autograd, over layers whose backward squares.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lenet.errors import InputError
from lenet.networks.frame import LeNet
from lenet.networks.layers import (
    RadialBasisOutput,
    ScaledTanh,
    Subsampling,
    TableConvolution,
    look_up,
)
from lenet.training.losses import Loss

# Paper: App. C and Sec. III.B.
MU = 0.02
PATTERNS_FOR_CURVATURE = 500


class DiagonalLevenbergMarquardt(torch.optim.Optimizer):
    """Stochastic diagonal Levenberg–Marquardt: a weight steps by −η / (μ + h) times its gradient.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        The paper's η.
    mu : float
        Keeps the step bounded where the error is flat.

    Notes
    -----
    Give it the diagonal with `set_curvature` before the first step and again before every pass; it
    stays constant in between.

    References
    ----------
    LeCun et al. 1998, App. C, Eqs. (18) and (21).
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, mu: float = MU) -> None:
        if not lr > 0:
            raise InputError(f"lr must be positive, got {lr}")
        if not mu > 0:
            raise InputError(f"mu must be positive, got {mu}")
        super().__init__(params, {"lr": lr, "mu": mu})

    def set_curvature(self, curvature: Iterable[Tensor]) -> None:
        """Take the diagonal, one tensor per parameter in the order the parameters were given."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        for parameter, diagonal in zip(parameters, curvature, strict=True):
            self.state[parameter]["curvature"] = diagonal

    def rates(self) -> list[Tensor]:
        """The effective learning rate of every weight, η / (μ + h)."""
        return [
            group["lr"] / (group["mu"] + self.state[p]["curvature"])
            for group in self.param_groups
            for p in group["params"]
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update.

        Raises
        ------
        InputError
            When `set_curvature` was never called.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if "curvature" not in self.state[p]:
                    raise InputError("no curvature yet: call set_curvature before step")
                p -= group["lr"] / (group["mu"] + self.state[p]["curvature"]) * p.grad
        return loss


def estimate_curvature(
    network: LeNet, images: Tensor, labels: Tensor, loss: Loss
) -> dict[str, Tensor]:
    """The Gauss–Newton diagonal of every trainable parameter, as the paper approximates it.

    Parameters
    ----------
    network : LeNet
        Read in evaluation mode; unchanged afterwards.
    images : (N, 1, 32, 32) float32
        Paper: 500 patterns of the training set.
    labels : (N,) int64
    loss : function of scores and labels
        A mean over the patterns, as in `lenet.training.losses`.

    Returns
    -------
    diagonal : dict of str to Tensor
        By parameter name, the parameter's shape, averaged over the patterns, never negative.

    Raises
    ------
    InputError
        When the recursion has no rule for a layer.

    Notes
    -----
    What `walk` does between its layers may only rearrange values.

    Two things are left out, and the tests hold that nothing else is: the coupling between units of
    a layer (Eq. 27), so the diagonal is exact for a layer whose units meet an uncoupled criterion;
    and the coupling between the connections that share a weight (Eq. 23).

    Silent: where the recursion starts. Output units without weights to learn belong to the
    criterion: it starts at F6 with the exact second derivative of the loss, which for radial basis
    units under Eqs. (8) and (9) is never negative. Otherwise it starts at the scores.

    References
    ----------
    LeCun et al. 1998, App. C, Eqs. (22) to (27).
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad(), _squaring(network):
            layers = network.activations(images)
        criterion, start = _criterion(network, layers, loss)
        with torch.enable_grad():
            _, seed = _derivatives(criterion, start, labels)
            found = torch.autograd.grad(start, list(parameters.values()), seed, allow_unused=True)
    finally:
        network.train(was_training)
    diagonal = {
        name: torch.zeros_like(p) if h is None else h / len(images)
        for (name, p), h in zip(parameters.items(), found, strict=True)
    }
    if type(network.output) is RadialBasisOutput and "output.centers" in diagonal:
        f6 = layers["f6"].detach()
        diagonal["output.centers"] = _curvature_of_codes(network.output, f6, labels, loss)
    return diagonal


def _criterion(network: LeNet, layers: dict[str, Tensor], loss: Loss) -> tuple[Loss, Tensor]:
    """What is left of the network after the recursion's start, and the start."""
    output = network.output
    if type(output) is RadialBasisOutput:
        return lambda x, labels: loss(output(x), labels), layers["f6"]
    return loss, layers["output"]


def _derivatives(criterion: Loss, at: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """∂E/∂x and the non-negative part of ∂²E/∂x² of each pattern's own loss, (N, units) both."""
    x = at.detach().requires_grad_()
    total = criterion(x, labels) * len(x)
    (first,) = torch.autograd.grad(total, x, create_graph=True)
    if not first.requires_grad:  # Eq. (8) is linear in the scores
        return first, torch.zeros_like(first)
    columns = [
        torch.autograd.grad(first[:, unit].sum(), x, retain_graph=True)[0][:, unit]
        for unit in range(x.shape[1])
    ]
    return first.detach(), torch.stack(columns, 1).clamp(min=0)


def _curvature_of_codes(
    output: RadialBasisOutput, f6: Tensor, labels: Tensor, loss: Loss
) -> Tensor:
    """(classes, features): moving one code moves one penalty."""
    first, second = _derivatives(loss, output(f6), labels)
    # The chain rule through the score: d(score)/dw = 2 (x − w), and its own derivative is −2.
    slope = 2 * (f6[:, None, :] - output.centers.detach())  # (N, classes, features)
    exact = second[:, :, None] * slope.square() - 2 * first[:, :, None]
    return exact.clamp(min=0).mean(0)


@contextmanager
def _squaring(network: LeNet) -> Iterator[None]:
    """Every layer's backward pass carries second derivatives meanwhile."""

    def square(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        carried: Tensor = _Squared.apply(  # type: ignore[no-untyped-call]
            layer, output.detach(), *inputs, *layer.parameters()
        )
        return carried

    modules = dict(network.named_modules())
    if "" not in dict(network.owners()):  # parameters of the network itself have no rule
        del modules[""]
    if type(network.output) is RadialBasisOutput:  # the criterion's
        del modules["output"]
    layers = [
        layer
        for name, layer in modules.items()
        if look_up(_RULES, name, layer, "the curvature") is not None
    ]
    hooks = [layer.register_forward_hook(square) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Squared(torch.autograd.Function):
    """A layer whose backward pass carries second derivatives."""

    @staticmethod
    def forward(ctx: Any, layer: nn.Module, output: Tensor, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.layer = layer
        ctx.save_for_backward(x)
        return output

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        rule = _RULES[type(ctx.layer)]
        assert rule is not None, "a layer without a rule gets no hook"
        with torch.enable_grad():
            return None, None, *rule(ctx.layer, x.detach().requires_grad_(), h)


# --- The rules ------------------------------------------------------------------------------------
# From ∂²E/∂(output)² of one layer to that of its input, then of its parameters.


def _squash(layer: nn.Module, x: Tensor, h: Tensor) -> list[Tensor]:
    y = layer(x)
    (slope,) = _product(y, [x], torch.ones_like(y))
    return [slope.square() * h]


def _max(layer: nn.MaxPool2d, x: Tensor, h: Tensor) -> list[Tensor]:
    # An output is one of the inputs: its weight is 1.
    return _product(layer(x), [x], h)


def _average(layer: nn.AvgPool2d, x: Tensor, h: Tensor) -> list[Tensor]:
    # All inputs of an output have one weight, 1/4 in a LeNet; the backward pass has it once.
    ones = torch.ones_like(x[:1])
    window = layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode
    n_inputs = functional.avg_pool2d(ones, *window, divisor_override=1)
    return _product(layer(x), [x], h * (layer(ones) / n_inputs))


def _batch_norm(layer: nn.BatchNorm2d, x: Tensor, h: Tensor) -> list[Tensor]:
    if not (layer.affine and layer.track_running_stats):
        raise InputError(f"the curvature knows BatchNorm2d as it is by default, not {layer}")
    plain = {"weight": torch.ones_like(layer.weight), "bias": torch.zeros_like(layer.bias)}
    normal = functional_call(layer, plain, (x,))
    slope = _product(normal, [x], torch.ones_like(normal))[0] * layer.weight[:, None, None]
    over = (0, 2, 3)
    return [slope.square() * h, (normal.square() * h).sum(over).detach(), h.sum(over)]


def _weighted(layer: nn.Module, x: Tensor, h: Tensor) -> list[Tensor]:
    weights = {name: p.detach().requires_grad_() for name, p in layer.named_parameters()}
    squares = {name: p.detach().square() for name, p in weights.items()}
    of_x = _product(functional_call(layer, squares, (x,)), [x], h)
    y = functional_call(layer, weights, (x.detach().square(),))
    return of_x + _product(y, list(weights.values()), h)


def _subsampling(layer: Subsampling, x: Tensor, h: Tensor) -> list[Tensor]:
    of_x, of_coefficient, of_bias = _weighted(layer, x, h)
    # An input's weight is the coefficient times this: once in both so far, squared twice.
    fixed = layer.weight_of_an_input
    return [of_x * fixed, of_coefficient * fixed, of_bias]


def _product(y: Tensor, of: list[Tensor], h: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(y, of, h))


# None: passes on what it gets (Dropout in evaluation mode), or holds others.
_RULES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], list[Tensor]] | None] = {
    nn.Conv2d: _weighted,
    nn.Linear: _weighted,
    TableConvolution: _weighted,
    Subsampling: _subsampling,
    nn.MaxPool2d: _max,
    nn.AvgPool2d: _average,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: _squash,
    nn.Tanh: _squash,
    nn.Sigmoid: _squash,
    ScaledTanh: _squash,
    nn.LeakyReLU: _squash,
    nn.ELU: _squash,
    nn.GELU: _squash,
    nn.SiLU: _squash,
    nn.Hardtanh: _squash,
    nn.Hardsigmoid: _squash,
    nn.Hardswish: _squash,
    nn.Identity: None,
    nn.Dropout: None,
    nn.Flatten: None,
    nn.Sequential: None,
}
