"""Whether a name and options say all of a network: what is saved must be what was trained."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from lenet.errors import InputError
from lenet.networks import NETWORKS, build_network
from lenet.networks.frame import LeNet

_INDIFFERENT = {"training", "inplace", "options", "num_classes"}
_Layout = tuple[torch.Size, torch.dtype]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def check_rebuildable(network: LeNet) -> None:
    """Refuse a network that `build_network` would not build again from its name and options.

    Raises
    ------
    InputError
        When a layer is another, has other settings, weights of another shape or type, or a hook;
        the message names the first.
    """
    with torch.device("meta"):
        again = build_network(network.name, network.num_classes, **network.options)
    difference = next(_differences(network, again), None)
    if difference is not None:
        raise InputError(
            f"{difference}: a file, which holds the name {network.name} and its options, would "
            f"give back another network; build_network takes "
            f"{', '.join(again.options) or 'no options here'}"
        )


def _differences(network: LeNet, again: LeNet) -> Iterator[str]:
    if type(network) is not NETWORKS[network.name]:
        yield f"{type(network).__name__} is not lenet's {network.name}"
        return
    ours, theirs = dict(network.named_modules()), dict(again.named_modules())
    for name in theirs | ours:
        yield from _between(name or "the network", ours.get(name), theirs.get(name))
    known, state = _layouts(again), _layouts(network)
    for key in known | state:
        if state.get(key) != known.get(key):
            here, there = (_tensor(of.get(key)) for of in (state, known))
            yield f"{key} is {here}, where {there} is expected"


def _plain(value: Any) -> str:
    return "of its own" if callable(value) else repr(value)


def _between(name: str, layer: nn.Module | None, rebuilt: nn.Module | None) -> Iterator[str]:
    """How a layer differs from the one in its place."""
    if layer is None or rebuilt is None or type(layer) is not type(rebuilt):
        there = "nothing" if rebuilt is None else type(rebuilt).__name__
        here = "missing" if layer is None else f"a {type(layer).__name__}"
        yield f"{name} is {here}, where {there} is expected"
        return
    if any(getattr(layer, registry) for registry in _HOOKS):
        yield f"{name} has a forward hook, which a file cannot hold"
    for key in sorted({*vars(layer), *vars(rebuilt)}):
        if key.startswith("_") or key in _INDIFFERENT or not hasattr(rebuilt, key):
            continue
        value, wanted = getattr(layer, key, None), getattr(rebuilt, key)
        if type(value) is not type(wanted) or value != wanted:
            yield f"{name} has {key} {_plain(value)}, not {_plain(wanted)}"


def _layouts(network: LeNet) -> dict[str, _Layout]:
    return {name: (t.shape, t.dtype) for name, t in network.state_dict().items()}


def _tensor(layout: _Layout | None) -> str:
    if layout is None:
        return "nothing"
    shape, dtype = layout
    return f"{tuple(shape)} {str(dtype).removeprefix('torch.')}"
