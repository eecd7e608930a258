"""Names that torch keeps to itself and the fused engine cannot do without, all in one place.

Read from torch 2.13; a test says whether they still mean what is taken for granted here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook

_tracing_state: Callable[[], Any] = torch._C._get_tracing_state
_is_compiling: Callable[[], bool] = torch.compiler.is_compiling
_functorch_level: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack

any_global_hook: Callable[[], bool] = _has_any_global_hook
"""Whether hooks are registered for every module in the process."""

unflatten_dense_tensors: Any = torch._C._nn.unflatten_dense_tensors
"""One flat tensor → views of it with the shapes of the given tensors."""


def is_transformed(images: Tensor) -> bool:
    """Whether torch is tracing, compiling or transforming what happens to `images`.

    Transforming are those of `torch.func` and forward-mode differentiation.
    """
    return (
        type(images) is not Tensor
        or _tracing_state() is not None
        or _is_compiling()
        or _functorch_level() is not None
        or forward_ad._current_level >= 0
    )


def hook_registries(module: nn.Module) -> tuple[dict[int, Any], ...]:
    """Where a module keeps its forward and backward hooks: dictionaries that stay the same."""
    return (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )


def has_gradient_hooks(parameter: Tensor) -> bool:
    """Whether something wants to see, or to change, a parameter's gradient."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether something wants to be called before or after the optimizer's own step."""
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


_MARK = "__dynamo_disable"
_HIDDEN = ("add_param_group", "state_dict", "load_state_dict")


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Make, read and restore optimizers in this block without importing `torch._dynamo`.

    Torch hides these methods from its compiler, and at the first call imports the compiler to do
    so: 0.8 s. The mark that it would leave on each is here put on for as long as the block lasts.
    """
    plain = [getattr(getattr(torch.optim.Optimizer, n), "__wrapped__", None) for n in _HIDDEN]
    marked = [f for f in plain if f is not None and not hasattr(f, _MARK)]
    for f in marked:
        setattr(f, _MARK, f)
    try:
        yield
    finally:
        for f in marked:
            if getattr(f, _MARK, None) is f:
                delattr(f, _MARK)
