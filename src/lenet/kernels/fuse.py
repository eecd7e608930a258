"""A LeNet behind one autograd function: same parameters, forward and backward fused in Halide."""

import copy
import threading
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules import module as torch_module

from lenet.data.preprocessing import PADDED_SIZE, Preprocessing
from lenet.errors import EngineError
from lenet.kernels import threads
from lenet.networks import LeNet
from lenet.networks.frame import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    POOLING_SIZE,
    S4_FEATURES,
)
from lenet.networks.layers import (
    RadialBasisOutput,
    ScaledTanh,
    Subsampling,
    TableConvolution,
)
from lenet.networks.lecun1998 import LeCun1998
from lenet.networks.modern import Modern
from lenet.networks.tutorial import Tutorial

if TYPE_CHECKING:
    from lenet.kernels import stages

_CHUNK = 256  # images walked at once: their activations stay in the caches
_ALIGNMENT = 16  # floats: Halide's stores are whole cache lines


def fuse(network: LeNet) -> nn.Module:
    """What `torch.compile` would be if it knew LeNet.

    Parameters
    ----------
    network : LeNet

    Returns
    -------
    fused : nn.Module
        Takes (N, 1, 32, 32) float32 images, gives (N, classes) float32 scores. Its layers and
        parameters are the network's own objects, under the same names: `state_dict`, hooks on
        parameters, any loss and any optimizer work as with the network. What the kernels do not
        cover runs in torch, and `fused.fallback` says why: another device or type, larger images,
        gradients with respect to the images, hooks on layers, a changed layer, BatchNorm in
        training (in evaluation it is folded into the convolutions).

    Raises
    ------
    EngineError
        When Halide is not installed.
    """
    return FusedNetwork(network)


class FusedNetwork(nn.Module):
    """See `fuse`.

    Attributes
    ----------
    fallback : str or None
        Why the last call ran in torch; None when it ran fused.
    """

    fallback: str | None

    def __init__(self, network: LeNet) -> None:
        super().__init__()
        _stages()
        threads.set_threads()
        # The very same registries: names, replaced layers and moved parameters agree by nature.
        self.__dict__.update(
            _parameters=network._parameters,
            _buffers=network._buffers,
            _modules=network._modules,
            training=network.training,
            network=network,
            fallback=None,
            _weights=_Weights(),
            _plan=None,
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
        network: LeNet = self.network
        network.check(images)
        layers = tuple(network._modules.values())
        plan = self._plan
        if plan is None or plan.layers != layers:
            plan = self.__dict__["_plan"] = _Plan(network)
        parameters = plan.parameters(network)
        gradients = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
        self.fallback = reason = plan.unsupported(images, parameters, gradients)
        if reason is not None:
            return network(images)
        images = images.contiguous()
        if not gradients:
            if plan.norms:
                parameters = plan.folded(parameters)
            weights = _Weights() if plan.norms else self._weights
            return _score(plan.architecture(False), images, weights.buffers(parameters))
        dropout = plan.dropout
        masks = (
            tuple(_mask(len(images), units, dropout.p) for units in (C5_UNITS, F6_UNITS))
            if dropout is not None and dropout.training and dropout.p > 0
            else ()
        )
        scores: Tensor = _Fused.apply(
            plan.architecture(bool(masks)), self._weights, images, masks, *parameters
        )
        return scores


class _Fused(torch.autograd.Function):
    """The whole network as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any,
        architecture: "stages.Architecture",
        weights: "_Weights",
        images: Tensor,
        masks: tuple[Tensor, ...],
        *parameters: Tensor,
    ) -> Tensor:
        scores = torch.empty(len(images), architecture.classes)
        ctx.tape = tape = _lease(architecture, len(images))
        buffers = weights.buffers(parameters)
        kernel = _kernel("forward_training", architecture)
        for chunk in tape.chunks:
            kernel.call(
                _buffer(images[chunk.images, 0]),
                *buffers,
                *(_buffer(mask[chunk.images]) for mask in masks),
                *chunk.tape,
                _buffer(scores[chunk.images]),
            )
        ctx.architecture, ctx.weights, ctx.masks = architecture, weights, masks
        # Saved for torch's check that nobody changed them before the backward pass.
        ctx.save_for_backward(*parameters)
        return scores

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        architecture: stages.Architecture = ctx.architecture
        buffers = dict(
            zip(
                _stages().weight_extents(architecture),
                ctx.weights.buffers(ctx.saved_tensors),
                strict=True,
            )
        )
        kernel = _kernel("backward", architecture)
        layout = _layout(architecture)
        gradient = gradient.contiguous()
        total = torch.empty(layout.size)
        for i, chunk in enumerate(ctx.tape.chunks):
            flat = torch.empty(layout.size) if i else total
            named = {
                **buffers,
                **chunk.named,
                **{
                    name: _buffer(mask[chunk.images])
                    for name, mask in zip(("c5.mask", "f6.mask"), ctx.masks, strict=False)
                },
                "gradient": _buffer(gradient[chunk.images]),
            }
            results = {**_scratch(architecture, chunk.blocks), **layout.buffers(flat)}
            kernel.call(
                *(named[name] for name in kernel.inputs),
                *(results[name] for name in kernel.outputs),
            )
            if i:
                total += flat
        needed = ctx.needs_input_grad[4:]
        return (
            None,
            None,
            None,
            None,
            *(
                view.view_as(p) if wanted else None
                for view, p, wanted in zip(
                    layout.split(total), ctx.saved_tensors, needed, strict=True
                )
            ),
        )


def _score(architecture: "stages.Architecture", images: Tensor, weights: list[Any]) -> Tensor:
    """Scores with nothing kept."""
    scores = torch.empty(len(images), architecture.classes)
    _kernel("forward_bulk", architecture).call(_buffer(images[:, 0]), *weights, _buffer(scores))
    return scores


def _mask(images: int, units: int, p: float) -> Tensor:
    """A Dropout mask: the same draws from torch's generator as `nn.Dropout` takes."""
    return torch.empty(images, units).bernoulli_(1 - p).div_(1 - p)


class _Plan:
    """What a network's layers are, and whether the kernels know them."""

    def __init__(self, network: LeNet) -> None:
        self.layers = tuple(network._modules.values())
        self.modules = tuple(network.modules())
        self.reason = self._unknown(network)
        self.dropout: nn.Dropout | None = network._modules.get("dropout")  # type: ignore[assignment]
        self.norms = tuple(
            layer
            for layer in (network._modules.get("norm1"), network._modules.get("norm3"))
            if isinstance(layer, nn.BatchNorm2d)
        )
        if self.reason is None:
            self._architecture = self._describe(network)
            self.names = tuple(
                name.split(".") for name in _stages().weight_extents(self._architecture(False))
            )
            self.shapes = tuple(p.shape for p in self.parameters(network))

    def architecture(self, dropout: bool) -> "stages.Architecture":
        """The key of the network's pipelines."""
        return self._architecture(dropout)

    def parameters(self, network: LeNet) -> tuple[Tensor, ...]:
        """The tensors the kernels read, in their order, as they are now."""
        if self.reason is not None:
            return ()
        modules = network._modules
        return tuple(
            layer._parameters.get(part) if part in layer._parameters else layer._buffers[part]
            for layer, part in ((modules[name], part) for name, part in self.names)
        )

    def unsupported(
        self, images: Tensor, parameters: Sequence[Tensor], gradients: bool
    ) -> str | None:
        """Why this call must run in torch, or None."""
        if self.reason is not None:
            return self.reason
        if type(images) is not Tensor or torch.jit.is_tracing() or torch.compiler.is_compiling():
            return "torch is tracing or transforming the network"
        if images.shape[2] != PADDED_SIZE or images.shape[3] != PADDED_SIZE:
            return f"the kernels are for {PADDED_SIZE}×{PADDED_SIZE} images"
        if len(images) == 0:
            return "there are no images"
        for tensor in (images, *parameters):
            if tensor.dtype is not torch.float32 or not tensor.is_cpu:
                return "the kernels are for float32 on the CPU"
        if torch.is_autocast_enabled("cpu"):
            return "autocast is on"
        if images.requires_grad and torch.is_grad_enabled():
            return "gradients with respect to the images are wanted"
        for tensor, shape in zip(parameters, self.shapes, strict=True):
            if tensor.shape != shape or not tensor.is_contiguous():
                return "a parameter has another shape or layout"
        if torch_module._has_any_global_hook() or any(
            m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
            for m in self.modules
        ):
            return "a layer has hooks"
        if self.norms and (gradients or any(norm.training for norm in self.norms)):
            return "BatchNorm is fused in evaluation only"
        return None

    def folded(self, parameters: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """BatchNorm's running statistics folded into the convolutions before it."""
        tensors = list(parameters)
        for norm, at in zip(self.norms, (0, 2), strict=True):  # c1 and c3: weight, then bias
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            tensors[at] = tensors[at] * scale[:, None, None, None]
            tensors[at + 1] = (tensors[at + 1] - norm.running_mean) * scale + norm.bias
        return tuple(tensors)

    @staticmethod
    def _unknown(network: LeNet) -> str | None:
        """What the kernels do not know in the network's layers, or None."""
        if type(network) not in (Tutorial, Modern, LeCun1998):
            return f"{type(network).__name__} is not a network the kernels know"
        is_1998 = type(network) is LeCun1998
        expected: dict[str, bool] = {
            "squash": type(network.squash) in (nn.Sigmoid, nn.Tanh, nn.ReLU, ScaledTanh),
            "c1": _is_convolution(network.c1, 1, C1_MAPS),
            "c3": _is_convolution(network.c3, C1_MAPS, C3_MAPS)
            or (
                type(network.c3) is TableConvolution
                and network.c3.kernel_size == (KERNEL_SIZE, KERNEL_SIZE)
                and (network.c3.in_channels, network.c3.out_channels) == (C1_MAPS, C3_MAPS)
                and len({len(r) for r in _table(network.c3).outgoing}) == 1
            ),
            "s2": _is_pooling(network.s2, C1_MAPS),
            "s4": _is_pooling(network.s4, C3_MAPS) and type(network.s4) is type(network.s2),
            "c5": _is_convolution(network.c5, C3_MAPS, C5_UNITS)
            if is_1998
            else _is_dense(network.c5, S4_FEATURES, C5_UNITS),
            "f6": _is_dense(network.f6, C5_UNITS, F6_UNITS),
            "output": _is_dense(network.output, F6_UNITS, network.num_classes)
            or (
                type(network.output) is RadialBasisOutput
                and tuple(network.output.centers.shape) == (network.num_classes, F6_UNITS)
            ),
        }
        if type(network) is Modern:
            expected["dropout"] = type(network.dropout) is nn.Dropout
            expected["norm1"] = _is_norm(network.norm1, C1_MAPS)
            expected["norm3"] = _is_norm(network.norm3, C3_MAPS)
            if type(network.norm1) is not type(network.norm3):
                expected["norm3"] = False
        changed = [name for name, known in expected.items() if not known]
        if type(network.s2) is Subsampling and type(network.s4) is Subsampling and not changed:
            changed = ["s4"] if network.s2.mode != network.s4.mode else []
        return f"the kernels do not know layer {', '.join(changed)}" if changed else None

    @staticmethod
    def _describe(network: LeNet) -> Any:
        s = _stages()
        squash: Any = network.squash
        activation = {
            nn.Sigmoid: lambda: s.Activation("sigmoid"),
            nn.Tanh: lambda: s.Activation("tanh"),
            nn.ReLU: lambda: s.Activation("relu"),
            ScaledTanh: lambda: s.Activation("tanh", squash.amplitude, squash.slope),
        }[type(squash)]()
        s2: Any = network.s2
        pooling = {
            nn.AvgPool2d: lambda: s.Pooling("average"),
            nn.MaxPool2d: lambda: s.Pooling("max"),
            Subsampling: lambda: s.Pooling("subsampling", s2.weight_of_an_input),
        }[type(s2)]()
        dense = s.Connections.dense(C3_MAPS, C1_MAPS)

        @cache
        def architecture(dropout: bool) -> Any:
            return s.Architecture(
                activation=activation,
                pooling=pooling,
                squash_pooled=type(network) is LeCun1998,
                connections=_table(network.c3) if type(network.c3) is TableConvolution else dense,
                output="rbf" if type(network.output) is RadialBasisOutput else "linear",
                classes=network.num_classes,
                dropout=dropout,
            )

        return architecture


def _table(layer: TableConvolution) -> "stages.Connections":
    return _stages().Connections(layer.table)


def _is_convolution(layer: nn.Module, inputs: int, outputs: int) -> bool:
    return (
        type(layer) is nn.Conv2d
        and (layer.in_channels, layer.out_channels) == (inputs, outputs)
        and layer.kernel_size == (KERNEL_SIZE, KERNEL_SIZE)
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding in (0, (0, 0), "valid")
        and layer.bias is not None
    )


def _is_dense(layer: nn.Module, inputs: int, outputs: int) -> bool:
    return (
        type(layer) is nn.Linear
        and (layer.in_features, layer.out_features) == (inputs, outputs)
        and layer.bias is not None
    )


def _is_pooling(layer: nn.Module, maps: int) -> bool:
    if type(layer) is Subsampling:
        return layer.coefficient.shape == (maps,)
    sizes = (POOLING_SIZE, (POOLING_SIZE, POOLING_SIZE))
    if type(layer) not in (nn.AvgPool2d, nn.MaxPool2d):
        return False
    plain = layer.kernel_size in sizes and layer.stride in sizes and layer.padding in (0, (0, 0))
    if type(layer) is nn.MaxPool2d:
        return plain and layer.dilation in (1, (1, 1)) and not layer.return_indices
    return plain and layer.divisor_override is None  # type: ignore[union-attr]


def _is_norm(layer: nn.Module, maps: int) -> bool:
    return type(layer) is nn.Identity or (
        type(layer) is nn.BatchNorm2d
        and layer.num_features == maps
        and layer.affine
        and layer.track_running_stats
    )


def gather(
    ink: Tensor,
    indices: Tensor,
    preprocessing: Preprocessing,
    matrices: NDArray[np.float32] | None = None,
) -> Tensor:
    """See `lenet.kernels.engines.Engine.gather`, which checks shapes and types."""
    n, picked = len(ink), indices.contiguous()
    images = torch.empty(len(picked), 1, PADDED_SIZE, PADDED_SIZE)
    if len(picked) == 0:
        return images
    numbers = picked.numpy()
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high >= n:
        raise IndexError(f"index {low if low < 0 else high} is out of range for {n} images")
    scaling = torch.tensor([preprocessing.factor, preprocessing.offset])
    arguments = [_buffer(ink.contiguous()), _buffer(picked), _buffer(scaling)]
    if matrices is not None:
        arguments.append(_buffer(torch.from_numpy(np.ascontiguousarray(matrices))))
    _kernel("gather", matrices is not None).call(*arguments, _buffer(images[:, 0]))
    return images


# --- Memory ---------------------------------------------------------------------------------


def _buffer(array: Tensor) -> Any:
    """Halide's view of a packed tensor's memory; keeps it alive."""
    return _halide().Buffer(array.detach().numpy())


class _Weights:
    """Halide's views of the parameters, made anew only when one has moved."""

    def __init__(self) -> None:
        self._made: tuple[tuple[int, ...], list[Any]] = ((), [])

    def buffers(self, parameters: Sequence[Tensor]) -> list[Any]:
        """One view for each parameter."""
        addresses = tuple([p.data_ptr() for p in parameters])
        known, views = self._made
        if known != addresses:
            # Kernels 5×5, all else as rows: (…, 5, 5) or (units, inputs) or (units,)
            views = [_buffer(_as_kernel_reads(p)) for p in parameters]
            self._made = addresses, views
        return views


def _as_kernel_reads(p: Tensor) -> Tensor:
    """(units, maps, 5, 5) of C5 → (units, inputs); of C1 and C3 → (links, 5, 5)."""
    if p.ndim == 4:
        return p.flatten(1) if len(p) == C5_UNITS else p.flatten(0, 1)
    return p


class _Chunk:
    """The tape of some images."""

    def __init__(self, images: slice, blocks: int, named: dict[str, Any]) -> None:
        self.images = images
        self.blocks = blocks
        self.named = named
        self.tape = tuple(named.values())


class _Tape:
    """What a forward pass keeps for its backward pass, in one piece of memory."""

    def __init__(self, architecture: "stages.Architecture", n: int) -> None:
        self.key = architecture, n
        s = _stages()
        self.chunks = []
        for start in range(0, n, _CHUNK):
            images = slice(start, min(start + _CHUNK, n))
            blocks = -(-(images.stop - images.start) // s.LANES)
            self.chunks.append(_Chunk(images, blocks, _arrays(s.TAPE_EXTENTS, blocks)))


def _arrays(extents: "dict[str, stages.Extents]", blocks: int) -> dict[str, Any]:
    """Uninitialised arrays for so many blocks, on cache lines."""
    lanes = _stages().LANES
    known = {"b": blocks, "r": blocks * lanes}
    return {
        name: _buffer(torch.empty([known[e] if isinstance(e, str) else e for e in extent]))
        for name, extent in extents.items()
    }


class _Lease:
    """A tape in use; it goes back to the shelf when the graph that holds it is gone."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape
        self.chunks = tape.chunks

    def __del__(self) -> None:
        _shelf.append(self._tape)


# Fresh memory costs a page fault every 4 KB, more than the arithmetic on it: tapes are kept.
_shelf: deque[_Tape] = deque(maxlen=4)


def _lease(architecture: "stages.Architecture", n: int) -> _Lease:
    for _ in range(len(_shelf)):
        try:
            tape = _shelf.popleft()
        except IndexError:  # another thread took it
            break
        if tape.key == (architecture, n):
            return _Lease(tape)
        _shelf.append(tape)
    return _Lease(_Tape(architecture, n))


@cache
def _scratch(architecture: "stages.Architecture", blocks: int) -> dict[str, Any]:
    """A backward pass's own arrays; a kernel call holds Python's lock, so all threads share them."""
    return _arrays(_stages().scratch_extents(architecture), blocks)


class _Layout:
    """Every parameter's gradient in one piece of memory."""

    def __init__(self, architecture: "stages.Architecture") -> None:
        self.extents = _stages().weight_extents(architecture)
        self.sizes = []
        for extents in self.extents.values():
            size = 1
            for extent in extents:
                assert isinstance(extent, int)
                size *= extent
            self.sizes += [size, -size % _ALIGNMENT]
        self.size = sum(self.sizes)

    def split(self, flat: Tensor) -> list[Tensor]:
        """The gradients, as vectors."""
        return list(flat.split(self.sizes)[::2])

    def buffers(self, flat: Tensor) -> dict[str, Any]:
        """The gradients, as Halide writes them."""
        return {
            name: _buffer(part.view(extents))
            for (name, extents), part in zip(self.extents.items(), self.split(flat), strict=True)
        }


@cache
def _layout(architecture: "stages.Architecture") -> _Layout:
    return _Layout(architecture)


# --- Compiled code ---------------------------------------------------------------------------

_compiling = threading.Lock()


def _kernel(name: str, architecture: "stages.Architecture | bool") -> Any:
    """A pipeline, compiled at its first use."""
    kernel = _compiled.get((name, architecture))
    if kernel is None:
        with _compiling:
            kernel = _compiled.get((name, architecture))
            if kernel is None:
                kernel = getattr(_stages(), name)(architecture)
                _compiled[name, architecture] = kernel
    return kernel


_compiled: dict[tuple[str, Any], Any] = {}


@cache
def _stages() -> Any:
    """`lenet.kernels.stages`, which loads Halide."""
    try:
        from lenet.kernels import stages
    except ImportError as error:
        raise EngineError(
            f"the fused engine needs Halide, which cannot be loaded here ({error}); "
            "install halide>=21,<22, or use the torch engine"
        ) from None
    return stages


@cache
def _halide() -> Any:
    import halide

    return halide
