"""Adam's update in one pass over the weights, on all cores."""

import math
from collections.abc import Callable
from typing import Any

import halide as hl
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from lenet.kernels.layout import LANES
from lenet.kernels.pipeline import Once
from lenet.kernels.torch_internals import has_step_hooks

_TASK = 256 * LANES  # weights that a task updates
_SETTINGS = ("kept", "decay", "old_1", "new_1", "old_2", "new_2", "step", "correction", "epsilon")


def updater(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """See `lenet.engines.Engine.updater`."""
    if not _is_covered(optimizer):
        return optimizer.step
    kernel = _adam()
    settings = torch.empty(len(_SETTINGS))
    view = hl.Buffer(settings.numpy())
    places: dict[Tensor, tuple[list[int], list[Any]]] = {}

    def update() -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = optimizer.state[parameter] or _begin(optimizer, parameter)
                state["step"] += 1
                settings.numpy()[:] = _settings(group, float(state["step"]))
                arrays = [parameter.grad, parameter, state["exp_avg"], state["exp_avg_sq"]]
                where = [array.data_ptr() for array in arrays]
                known, views = places.get(parameter, ([], []))
                if where != known:
                    views = [hl.Buffer(a.detach().view(-1).numpy()) for a in arrays]
                    places[parameter] = where, views
                kernel(views[0], view, *views[1:])
                increment_version(parameter)  # a graph that needs the old weights must notice

    return update


def _is_covered(optimizer: torch.optim.Optimizer) -> bool:
    """Whether this is plain Adam or AdamW over float32 on the CPU."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    options = "amsgrad", "maximize", "capturable", "differentiable"
    plain = not any(group[option] for group in optimizer.param_groups for option in options)
    return (
        plain
        and not has_step_hooks(optimizer)
        and all(
            p.is_cpu and p.dtype is torch.float32 and p.is_contiguous()
            for group in optimizer.param_groups
            for p in group["params"]
        )
    )


def _begin(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """What torch's fused Adam keeps of a parameter."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    state["step"] = torch.zeros(())
    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    return state


def _settings(group: dict[str, Any], step: float) -> tuple[float, ...]:
    """The numbers of `_SETTINGS` for one step."""
    first, second = group["betas"]
    rate, decay = float(group["lr"]), group["weight_decay"]
    apart = group["decoupled_weight_decay"]
    return (
        1 - rate * decay if apart else 1.0,
        0.0 if apart else decay,
        first,
        1 - first,
        second,
        1 - second,
        rate / (1 - first**step),
        1 / math.sqrt(1 - second**step),
        group["eps"],
    )


@Once
def _adam() -> Any:
    """Gradient and settings; weights and both moments in place (Kingma & Ba 2015, Algorithm 1)."""
    x, task = hl.Var("x"), hl.Var("task")
    given, numbers = (hl.ImageParam(hl.Float(32), 1, n) for n in ("gradient", "settings"))
    s = {name: numbers[i] for i, name in enumerate(_SETTINGS)}
    f = hl.Func("adam")
    f[x] = (hl.undef(hl.Float(32)),) * 3
    weight, first, second = (f[x][i] for i in range(3))
    weight = weight * s["kept"]
    gradient = given[x] + s["decay"] * weight
    first = s["old_1"] * first + s["new_1"] * gradient
    second = s["old_2"] * second + s["new_2"] * gradient * gradient
    size = hl.sqrt(second) * s["correction"] + s["epsilon"]
    f[x] = (weight - s["step"] * first / size, first, second)
    update = f.update().split(x, task, x, _TASK, hl.TailStrategy.GuardWithIf)
    update.vectorize(x, LANES).parallel(task)
    target = hl.get_jit_target_from_environment()
    return hl.Pipeline([f]).compile_to_callable([given, numbers], target)
