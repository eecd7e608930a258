"""Which networks the kernels know, and why not: the layers exactly, no subclasses."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.kernels import activation, pooling
from lenet.kernels.architecture import Architecture, Connections
from lenet.kernels.compiled import Compiled, get_compiled
from lenet.kernels.torch_internals import any_global_hook, hook_registries, is_transformed
from lenet.networks import LeNet
from lenet.networks.layers import (
    RadialBasisOutput,
    ScaledTanh,
    Subsampling,
    TableConvolution,
)
from lenet.networks.lecun1998 import LeCun1998
from lenet.networks.modern import Modern
from lenet.networks.sizes import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    POOLING_SIZE,
    S4_FEATURES,
)
from lenet.networks.tutorial import Tutorial

_ONLY = "the kernels are for float32 on the CPU"
_layout = attrgetter("shape", "dtype", "is_cpu")


class Coverage:
    """A network's layers at one moment, as the kernels see them.

    Attributes
    ----------
    layers : tuple of nn.Module
        While the network has these, this is true of it.
    reason : str or None
        Why the kernels cannot run it, whatever the images are.
    classes : int
    dropout : nn.Dropout or None
    norms : tuple of nn.BatchNorm2d
        After C1 and after C3; empty without BatchNorm.
    """

    def __init__(self, network: LeNet) -> None:
        self.layers = tuple(network._modules.values())
        self.reason = unknown_layers(network)
        self.classes = network.num_classes
        self.norms = tuple(
            layer
            for layer in (network._modules.get("norm1"), network._modules.get("norm3"))
            if isinstance(layer, nn.BatchNorm2d)
        )
        self.dropout: Any = network._modules.get("dropout")
        self._hooks = [hooks for m in network.modules() for hooks in hook_registries(m)]
        self._compiled: dict[bool, Compiled] = {}
        self._places: list[tuple[dict[str, Any], str]] = []
        if self.reason is None:
            self._architectures = [describe(network, dropout=d) for d in (False, True)]
            for name in self._architectures[False].weight_extents:
                layer, part = name.split(".")
                module: Any = network._modules[layer]
                registries = module._parameters, module._buffers
                place = next((r for r in registries if r.get(part) is not None), None)
                if place is None:  # as after pruning
                    self.reason = f"{name} is computed from other parameters"
                    return
                self._places.append((place, part))
            self._layouts = [(p.shape, torch.float32, True) for p in self.parameters()]

    def compiled(self, dropout: bool = False) -> Compiled:
        """The network's kernels."""
        known = self._compiled.get(dropout)
        if known is None:
            known = self._compiled[dropout] = get_compiled(self._architectures[dropout])
        return known

    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors the kernels read, in their order, as they are now; () if one is gone."""
        try:
            return tuple([registry[name] for registry, name in self._places])
        except KeyError:
            return ()

    def fits(self, parameters: Sequence[Tensor]) -> bool:
        """Whether the kernels can read these: the network's shapes, float32, on the CPU, packed."""
        return [*map(_layout, parameters)] == self._layouts and all(
            map(Tensor.is_contiguous, parameters)
        )

    @property
    def drops_out(self) -> bool:
        """Whether Dropout is at work: it is there, in training, and not of nothing."""
        dropout = self.dropout
        return dropout is not None and dropout.training and dropout.p > 0

    def masks(self, n: int) -> tuple[Tensor, ...]:
        """Dropout's masks for so many images: the draws that `nn.Dropout` takes; () without."""
        if not self.drops_out:
            return ()
        kept = 1 - self.dropout.p
        if not kept:  # torch draws nothing then
            return torch.zeros(n, C5_UNITS), torch.zeros(n, F6_UNITS)
        return tuple(
            torch.empty(n, units).bernoulli_(kept).div_(kept) for units in (C5_UNITS, F6_UNITS)
        )

    def why_not(self, parameters: Sequence[Tensor], gradients: bool) -> str | None:
        """Why the network must run in torch now, or None."""
        if self.reason is not None:
            return self.reason
        if not self.fits(parameters):
            if all(p.dtype is torch.float32 and p.is_cpu for p in parameters):
                return "a parameter has another shape or layout"
            return _ONLY
        if torch.is_autocast_enabled("cpu"):
            return "autocast is on"
        if any(self._hooks) or any_global_hook():
            return "a layer has hooks"
        for norm in self.norms:
            wanted = norm.weight.requires_grad or norm.bias.requires_grad
            if gradients or norm.training or (wanted and torch.is_grad_enabled()):
                return "BatchNorm is fused in evaluation only"
            tensors = norm.weight, norm.bias, norm.running_mean, norm.running_var
            if not all(t is not None and t.dtype is torch.float32 and t.is_cpu for t in tensors):
                return _ONLY
        return None


def why_not_images(images: Tensor) -> str | None:
    """Why these images must be scored in torch, or None."""
    if is_transformed(images):
        return "torch is tracing or transforming the network"
    if images.dtype is not torch.float32 or not images.is_cpu:
        return _ONLY
    n, _, height, width = images.shape
    if height != PADDED_SIZE or width != PADDED_SIZE:
        return f"the kernels are for {PADDED_SIZE}×{PADDED_SIZE} images"
    if n == 0:
        return "there are no images"
    if images.requires_grad and torch.is_grad_enabled():
        return "gradients with respect to the images are wanted"
    return None


def unknown_layers(network: LeNet) -> str | None:
    """What the kernels do not know in the network's layers, by name and type, or None."""
    if type(network) not in (Tutorial, Modern, LeCun1998):
        return f"{type(network).__name__} is not a network the kernels know"
    known: dict[str, bool] = {
        "squash": _is_activation(network.squash, pooled=type(network) is LeCun1998),
        "c1": _is_convolution(network.c1, 1, C1_MAPS),
        "s2": _is_pooling(network.s2, C1_MAPS),
        "c3": _is_convolution(network.c3, C1_MAPS, C3_MAPS) or _is_table(network.c3),
        "s4": _is_pooling(network.s4, C3_MAPS) and _is_like(network.s4, network.s2),
        "c5": _is_convolution(network.c5, C3_MAPS, C5_UNITS)
        if type(network) is LeCun1998
        else _is_dense(network.c5, S4_FEATURES, C5_UNITS),
        "f6": _is_dense(network.f6, C5_UNITS, F6_UNITS),
        "output": _is_dense(network.output, F6_UNITS, network.num_classes)
        or _is_radial_basis(network.output, network.num_classes),
    }
    if type(network) is Modern:
        known["dropout"] = type(network.dropout) is nn.Dropout
        known["norm1"] = _is_norm(network.norm1, C1_MAPS)
        known["norm3"] = _is_norm(network.norm3, C3_MAPS) and (
            type(network.norm3) is type(network.norm1)
        )
    changed = [f"{n} ({type(getattr(network, n)).__name__})" for n, is_ in known.items() if not is_]
    return f"the kernels do not know layer {', '.join(changed)}" if changed else None


def describe(network: LeNet, *, dropout: bool) -> Architecture:
    """The architecture of a network whose layers are all known."""
    squash: Any = network.squash
    c3: Any = network.c3
    return Architecture(
        activation=activation.KNOWN[type(squash)](squash),
        pooling=pooling.KNOWN[type(network.s2)](network.s2),
        squash_pooled=type(network) is LeCun1998,
        connections=Connections(c3.table)
        if type(c3) is TableConvolution
        else Connections.dense(C3_MAPS, C1_MAPS),
        output="rbf" if type(network.output) is RadialBasisOutput else "linear",
        classes=network.num_classes,
        dropout=dropout,
    )


def _is_activation(layer: nn.Module, *, pooled: bool) -> bool:
    if type(layer) not in activation.KNOWN:
        return False
    settings: Any = layer
    if type(layer) is ScaledTanh:
        return 0 not in (settings.amplitude, settings.slope)  # the kernels divide by both
    if type(layer) is nn.LeakyReLU:
        return bool(settings.negative_slope >= 0)  # its output tells which side it comes from
    if type(layer) is nn.ELU:
        return bool(settings.alpha >= 0)
    # Of pooled sums that are squashed the output alone is kept.
    return not pooled or activation.KNOWN[type(layer)](layer).is_monotonic


def _is_convolution(layer: nn.Module, inputs: int, outputs: int) -> bool:
    return (
        type(layer) is nn.Conv2d
        and (layer.in_channels, layer.out_channels) == (inputs, outputs)
        and layer.kernel_size == (KERNEL_SIZE, KERNEL_SIZE)
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding in (0, (0, 0), "valid")
        and layer.bias is not None
    )


def _is_table(layer: nn.Module) -> bool:
    return (
        type(layer) is TableConvolution
        and layer.kernel_size == (KERNEL_SIZE, KERNEL_SIZE)
        and (layer.in_channels, layer.out_channels) == (C1_MAPS, C3_MAPS)
        and Connections(layer.table).inputs == C1_MAPS
    )


def _is_dense(layer: nn.Module, inputs: int, outputs: int) -> bool:
    return (
        type(layer) is nn.Linear
        and (layer.in_features, layer.out_features) == (inputs, outputs)
        and layer.bias is not None
    )


def _is_radial_basis(layer: nn.Module, classes: int) -> bool:
    return type(layer) is RadialBasisOutput and tuple(layer.centers.shape) == (classes, F6_UNITS)


def _is_pooling(layer: nn.Module, maps: int) -> bool:
    if type(layer) not in pooling.KNOWN:
        return False
    if type(layer) is Subsampling:
        return layer.coefficient.shape == (maps,)
    plain: Any = layer
    sizes = (POOLING_SIZE, (POOLING_SIZE, POOLING_SIZE))
    if not (plain.kernel_size in sizes and plain.stride in sizes and plain.padding in (0, (0, 0))):
        return False
    if type(layer) is nn.MaxPool2d:
        return layer.dilation in (1, (1, 1)) and not layer.return_indices
    return plain.divisor_override is None


def _is_like(layer: nn.Module, other: nn.Module) -> bool:
    """Whether S4 pools as S2 does: the kernels have one pooling."""
    if type(layer) is not type(other):
        return False
    return pooling.KNOWN[type(layer)](layer) == pooling.KNOWN[type(other)](other)


def _is_norm(layer: nn.Module, maps: int) -> bool:
    return type(layer) is nn.Identity or (
        type(layer) is nn.BatchNorm2d
        and layer.num_features == maps
        and layer.affine
        and layer.track_running_stats
    )
