"""Torch's private names still mean what the fused engine takes for granted."""

import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

from lenet.kernels import torch_internals


def test_flat_memory_is_seen_as_the_tensors():
    like = [torch.empty(2, 3), torch.empty(4)]
    flat = torch.arange(10.0)
    first, second = torch_internals.unflatten_dense_tensors(flat, like)
    assert torch.equal(first, flat[:6].view(2, 3))
    assert torch.equal(second, flat[6:])
    assert second.data_ptr() == flat[6:].data_ptr()


@pytest.mark.parametrize(
    "register",
    [
        lambda module: module.register_forward_hook(lambda *_: None),
        lambda module: module.register_forward_pre_hook(lambda *_: None),
        lambda module: module.register_full_backward_hook(lambda *_: None),
        lambda module: module.register_full_backward_pre_hook(lambda *_: None),
    ],
)
def test_a_hook_is_seen_in_the_registries(register):
    module = nn.Linear(2, 2)
    registries = torch_internals.hook_registries(module)
    assert not any(registries)
    handle = register(module)
    assert any(registries)
    handle.remove()
    assert not any(registries)


def test_a_hook_for_every_module_is_seen():
    assert not torch_internals.any_global_hook()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert torch_internals.any_global_hook()
    finally:
        handle.remove()


def test_tracing_and_transforming_are_seen():
    seen = []

    class Watched(nn.Module):
        def forward(self, images):
            seen.append(torch_internals.is_transformed(images))
            return images + 1

    images = torch.zeros(1)
    Watched()(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tracing is; it is still done
        torch.jit.trace(Watched(), images, check_trace=False)
    Watched()(nn.Parameter(images))
    torch.vmap(Watched())(images)
    with forward_ad.dual_level():
        Watched()(images)
    Watched()(images)
    assert seen == [False, True, True, True, True, False]


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_hook_on_a_gradient_is_seen(register):
    parameter = nn.Parameter(torch.zeros(1))
    assert not torch_internals.has_gradient_hooks(parameter)
    handle = getattr(parameter, register)(lambda _: None)
    assert torch_internals.has_gradient_hooks(parameter)
    handle.remove()
    assert not torch_internals.has_gradient_hooks(parameter)


def test_step_hooks_are_seen():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    assert not torch_internals.has_step_hooks(optimizer)
    optimizer.register_step_post_hook(lambda *_: None)
    assert torch_internals.has_step_hooks(optimizer)


def test_an_optimizer_is_made_read_and_restored_without_torchs_compiler():
    code = (
        "import sys, torch\n"
        "from lenet.kernels.torch_internals import without_dynamo\n"
        "weight = torch.nn.Parameter(torch.ones(1))\n"
        "with without_dynamo():\n"
        "    optimizer = torch.optim.Adam([weight])\n"
        "    optimizer.load_state_dict(optimizer.state_dict())\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "torch.optim.Adam([weight])\n"
        "assert 'torch._dynamo' in sys.modules, 'the block is needed no longer'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torch_hides_its_methods_again_after_the_block():
    method = torch.optim.Optimizer.add_param_group.__wrapped__
    before = dict(method.__dict__)
    with torch_internals.without_dynamo():
        torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)
    assert method.__dict__ == before
