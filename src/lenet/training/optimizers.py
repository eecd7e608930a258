"""How a gradient becomes a step: a recipe's optimizer, its state and its learning rate."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from lenet.errors import InputError
from lenet.kernels.torch_internals import without_dynamo
from lenet.networks import LeNet
from lenet.training.recipes import Recipe

_WARM_UP = 0.3
_START = 1 / 25  # of the peak rate
_MOMENTUM = 0.9
BuildOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
"""From the parameters that are trained to what trains them."""

_SHARE = "share of the recipe's rate"


@without_dynamo()
def choose_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a recipe; the loop sets its learning rate before every step."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                parameters, rate, _MOMENTUM, weight_decay=decay, nesterov=True, fused=True
            )
    raise InputError(f"optimizer {recipe.optimizer!r} is unknown")


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate of a step, from how much of the training is behind it: 0 ≤ progress < 1."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if progress < _WARM_UP:
        rise = (1 - math.cos(math.pi * progress / _WARM_UP)) / 2
        return recipe.learning_rate * (_START + (1 - _START) * rise)
    fall = (progress - _WARM_UP) / (1 - _WARM_UP)
    return recipe.learning_rate * (1 + math.cos(math.pi * fall)) / 2


def flatten(network: LeNet) -> nn.Parameter:
    """Move all that is trained into one tensor, and its gradients into another.

    An optimizer then makes one call for one tensor, where ten small ones cost more than their
    arithmetic. The network's parameters become views of it.

    Returns
    -------
    weights : (n,) float32
        The parameters that require a gradient, one after another; `grad` holds theirs.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    weights = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    weights.grad = torch.zeros_like(weights)
    first = 0
    for p in parameters:
        part = slice(first, first + p.numel())
        p.data = weights.detach()[part].view_as(p)
        p.grad = weights.grad[part].view_as(p)
        first = part.stop
    return weights


@without_dynamo()
def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its learning rate; one of `own_optimizer` its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(_SHARE, 1.0)


def own_optimizer(
    build: BuildOptimizer,
    network: LeNet,
    recipe: Recipe,
) -> torch.optim.Optimizer:
    """A user's optimizer: the recipe's schedule scales the rates that it was made with.

    Parameters
    ----------
    build : function of the parameters
        It must change them in place.
    network : LeNet
        What `flatten` was called for.
    recipe : Recipe

    Raises
    ------
    InputError
        When it is no function, or what it gives is no optimizer with learning rates.
    """
    if not callable(build):
        raise InputError(
            f"optimizer must be a function of the parameters, such as torch.optim.Adam or a lambda "
            f"that calls it, got {type(build).__name__}"
        )
    optimizer = build([p for p in network.parameters() if p.requires_grad])
    if not isinstance(optimizer, torch.optim.Optimizer) or not all(
        "lr" in group for group in optimizer.param_groups
    ):
        raise InputError(
            f"optimizer must give a torch.optim.Optimizer with learning rates for the parameters "
            f"it gets, got {type(optimizer).__name__}"
        )
    for group in optimizer.param_groups:
        group[_SHARE] = float(group["lr"]) / recipe.learning_rate
    return optimizer


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer has gathered, by ``<parameter>.<quantity>``: its moments and steps.

    Raises
    ------
    InputError
        When it is no number and no tensor.
    """
    tensors = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if value is None:
                continue
            if not isinstance(value, (Tensor, int, float)):
                raise InputError(
                    f"{type(optimizer).__name__} keeps a {type(value).__name__} as {key}: "
                    f"only numbers and tensors can be stored to go on from"
                )
            tensors[f"{index}.{key}"] = torch.as_tensor(value)
    return tensors


@without_dynamo()
def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer copies of what `optimizer_tensors` took from one like it."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
