"""A LeNet behind one autograd function: same parameters, forward and backward fused in Halide."""

import copy
import ctypes
import math
import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from lenet import threads
from lenet.data.preprocessing import INK_SIZE, PADDED_SIZE, Preprocessing
from lenet.errors import EngineError
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

_ROOMS = 4  # kept, for different numbers of images
_ONLY = "the kernels are for float32 on the CPU"


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
    network : LeNet
    fallback : str or None
        Why the last call ran in torch; None when it ran fused.
    """

    network: LeNet
    fallback: str | None
    _plan: "_Plan | None"

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
        network = self.network
        network.check(images)
        plan = self._current_plan()
        parameters = plan.parameters()
        gradients = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
        reason = plan.unsupported(parameters, gradients) or plan.unknown(images)
        self.__dict__["fallback"] = reason
        if reason is not None:
            scores: Tensor = network(images)
            return scores
        images = images.contiguous()
        if not gradients:
            return plan.code(False).score(images, plan.folded(parameters))
        masks = plan.masks(len(images))
        return _fused(plan.code(bool(masks)), masks, images, *parameters)

    def backprop(
        self, ink: Tensor, labels: Tensor, preprocessing: Preprocessing, loss: Tensor
    ) -> "_Backprop | None":
        """See `lenet.engines.Engine.backprop`.

        Parameters
        ----------
        loss : (2,) float32
            Label smoothing, and what an image counts for.

        Returns
        -------
        backprop : callable or None
            None where torch must do it: `fallback` says why.
        """
        plan = self._current_plan()
        parameters = plan.parameters()
        reason = plan.unsupported(parameters, True)
        self.__dict__["fallback"] = reason
        if reason is not None:
            return None
        return _Backprop(plan, parameters, ink, labels, preprocessing, loss)

    def _current_plan(self) -> "_Plan":
        """The plan for the layers as they are now."""
        layers = tuple(self.network._modules.values())
        plan = self._plan
        if plan is None or plan.layers != layers:
            plan = self.__dict__["_plan"] = _Plan(self.network)
        return plan


class _Fused(torch.autograd.Function):
    """The whole network as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any, code: "_Code", masks: tuple[Tensor, ...], images: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.code, ctx.masks = code, masks
        # Nothing in between is kept: what a layer found is dearer to store than to find again.
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


_layout = attrgetter("shape", "dtype", "is_cpu")
_grad = attrgetter("grad")
_any_global_hook: Callable[[], bool] = _has_any_global_hook
_fused: Callable[..., Tensor] = _Fused.apply


def _mask(images: int, units: int, p: float) -> Tensor:
    """A Dropout mask: the same draws from torch's generator as `nn.Dropout` takes."""
    return torch.empty(images, units).bernoulli_(1 - p).div_(1 - p)


class _Plan:
    """What a network's layers are, and whether the kernels know them."""

    def __init__(self, network: LeNet) -> None:
        self.layers = tuple(network._modules.values())
        self.hooks = [
            hooks
            for m in network.modules()
            for hooks in (
                m._forward_hooks,
                m._forward_pre_hooks,
                m._backward_hooks,
                m._backward_pre_hooks,
            )
        ]
        self.reason = self._unknown(network)
        self.classes = network.num_classes
        self.dropout: nn.Dropout | None = network._modules.get("dropout")  # type: ignore[assignment]
        self.norms = tuple(
            layer
            for layer in (network._modules.get("norm1"), network._modules.get("norm3"))
            if isinstance(layer, nn.BatchNorm2d)
        )
        self._codes: dict[bool, _Code] = {}
        self.places: list[tuple[dict[str, Tensor], str]] = []
        if self.reason is None:
            self._architecture = self._describe(network)
            for name in _stages().weight_extents(self._architecture(False)):
                layer, part = name.split(".")
                module: Any = network._modules[layer]
                trained = module._parameters.get(part) is not None
                self.places.append((module._parameters if trained else module._buffers, part))
            self.layouts = [(p.shape, torch.float32, True) for p in self.parameters()]

    def code(self, dropout: bool) -> "_Code":
        """The network's kernels."""
        code = self._codes.get(dropout)
        if code is None:
            code = self._codes[dropout] = _code(self._architecture(dropout))
        return code

    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors the kernels read, in their order, as they are now."""
        return tuple([registry[name] for registry, name in self.places])

    def unsupported(self, parameters: Sequence[Tensor], gradients: bool) -> str | None:
        """Why the network must run in torch now, or None."""
        if self.reason is not None:
            return self.reason
        if [*map(_layout, parameters)] != self.layouts or not all(
            map(Tensor.is_contiguous, parameters)
        ):
            if all(p.dtype is torch.float32 and p.is_cpu for p in parameters):
                return "a parameter has another shape or layout"
            return _ONLY
        if torch.is_autocast_enabled("cpu"):
            return "autocast is on"
        if any(self.hooks) or _any_global_hook():
            return "a layer has hooks"
        if self.norms and (gradients or any(norm.training for norm in self.norms)):
            return "BatchNorm is fused in evaluation only"
        return None

    @staticmethod
    def unknown(images: Tensor) -> str | None:
        """Why these images must be scored in torch, or None."""
        if (
            type(images) is not Tensor
            or torch._C._get_tracing_state()
            or torch.compiler.is_compiling()
        ):
            return "torch is tracing or transforming the network"
        if images.dtype is not torch.float32 or not images.is_cpu:
            return _ONLY
        if images.shape[-1] != PADDED_SIZE or images.shape[-2] != PADDED_SIZE:
            return f"the kernels are for {PADDED_SIZE}×{PADDED_SIZE} images"
        if images.shape[0] == 0:
            return "there are no images"
        if images.requires_grad and torch.is_grad_enabled():
            return "gradients with respect to the images are wanted"
        return None

    def masks(self, n: int) -> tuple[Tensor, ...]:
        """Dropout's masks for so many images, in training."""
        dropout: Any = self.dropout
        if dropout is None or not dropout.training or dropout.p == 0:
            return ()
        return _mask(n, C5_UNITS, dropout.p), _mask(n, F6_UNITS, dropout.p)

    def folded(self, parameters: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """BatchNorm's running statistics folded into the convolutions before it."""
        if not self.norms:
            return parameters
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
            "squash": type(network.squash) in (nn.Sigmoid, nn.Tanh, nn.ReLU)
            # The kernels divide by both.
            or (
                type(network.squash) is ScaledTanh
                and network.squash.amplitude != 0
                and network.squash.slope != 0
            ),
            "c1": _is_convolution(network.c1, 1, C1_MAPS),
            "c3": _is_convolution(network.c3, C1_MAPS, C3_MAPS)
            or (
                type(network.c3) is TableConvolution
                and network.c3.kernel_size == (KERNEL_SIZE, KERNEL_SIZE)
                and (network.c3.in_channels, network.c3.out_channels) == (C1_MAPS, C3_MAPS)
                and _table(network.c3).inputs == C1_MAPS
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
        squash = network.squash
        if isinstance(squash, ScaledTanh):
            activation = s.Activation("tanh", squash.amplitude, squash.slope)
        else:
            kinds: dict[type, str] = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu"}
            activation = s.Activation(kinds[type(squash)])
        s2: Any = network.s2
        if isinstance(s2, Subsampling):
            pooling = s.Pooling("subsampling", s2.weight_of_an_input)
        else:
            pooling = s.Pooling("max" if isinstance(s2, nn.MaxPool2d) else "average")
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
    connections: stages.Connections = _stages().Connections(layer.table)
    return connections


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
    return plain and layer.divisor_override is None


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
    """See `lenet.engines.Engine.gather`, which checks shapes and types."""
    images = torch.empty(len(indices), 1, PADDED_SIZE, PADDED_SIZE)
    if len(indices) == 0:
        return images
    _check_range("index", indices, len(ink), "images")
    chosen = [indices.contiguous()]
    if matrices is not None:
        chosen.append(torch.from_numpy(np.ascontiguousarray(matrices)))
    arguments = (_words(ink), _scaling(preprocessing), *chosen, images[:, 0])
    _kernel("gather", matrices is not None)(*map(_owned, arguments))
    return images


def _check_range(what: str, numbers: Tensor, n: int, of: str) -> None:
    """Refuse numbers that are not 0 … n − 1; there is at least one."""
    array = numbers.numpy()
    if np.maximum.reduce(array.view(np.uint64)) >= n:  # where what is negative is large
        low, high = int(array.min()), int(array.max())
        raise IndexError(f"{what} {low if low < 0 else high} is out of range for {n} {of}")


def _words(ink: Tensor) -> Tensor:
    """Levels four by four, as the kernels read them."""
    ink = ink.contiguous()
    return (ink.clone() if ink.storage_offset() % 4 else ink).view(torch.uint32)


def _scaling(preprocessing: Preprocessing) -> Tensor:
    return torch.tensor([preprocessing.factor, preprocessing.offset])


# --- A training step ------------------------------------------------------------------------------


class _Backprop:
    """See `lenet.engines.Engine.backprop`.

    What stays the same from step to step is looked up once: between kernels that sweep the caches,
    every small operation is slow.
    """

    def __init__(
        self,
        plan: "_Plan",
        parameters: tuple[Tensor, ...],
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        loss: Tensor,
    ) -> None:
        self.plan, self.parameters, self.n_images, self.labels = plan, parameters, len(ink), labels
        self.set = [_owned(_words(ink)), _owned(_scaling(preprocessing))]
        self.settings = _owned(loss)
        self.order: Tensor | None = None
        self.order_version = -1
        self.version = -1  # of the labels: whether they are in range is checked once
        self.places: list[int] = []
        self.grads: list[Tensor | None] = []
        self.rooms = lru_cache(maxsize=_ROOMS)(partial(_Room, plan.code(False)))

    def __call__(self, indices: Tensor, matrices: NDArray[np.float32] | None = None) -> Tensor:
        """Scores of some images; their gradient is left in the parameters."""
        # Batches are slices of an epoch's order: it is checked as a whole, once.
        whole = indices if indices._base is None else indices._base
        if whole is not self.order or whole._version != self.order_version:
            self._check_order(whole, indices)
        if self.labels._version != self.version:
            self._take_labels()
        if [*map(Tensor.data_ptr, self.parameters)] != self.places or not all(
            map(is_, map(_grad, self.parameters), self.grads)
        ):
            self._take_parameters()
        masks = self.plan.masks(len(indices))
        code = self.plan.code(bool(masks))
        room = self.rooms(len(indices), matrices is not None)
        room.choose(indices, matrices)
        code.kernel("learning" if matrices is None else "learning_distorted")(
            *self.set,
            self.answers,
            *room.chosen,
            self.settings,
            *self.weights,
            *map(_mask_view, masks),
            *room.found,
            *self.gradients,
            room.scores_view,
        )
        return room.scores.clone()

    def _check_order(self, whole: Tensor, indices: Tensor) -> None:
        try:
            _check_range("index", whole, self.n_images, "images")
        except (IndexError, ValueError):  # what is wrong may lie elsewhere
            _check_range("index", indices, self.n_images, "images")
        else:
            self.order, self.order_version = whole, whole._version

    def _take_labels(self) -> None:
        _check_range("label", self.labels, self.plan.classes, "classes")
        self.version = self.labels._version
        self.answers = _owned(self.labels.contiguous())

    def _take_parameters(self) -> None:
        self.held = [_gradient(p) for p in self.parameters]
        self.gradients, self.weights = map(
            self.plan.code(False).weights, (self.held, self.parameters)
        )
        self.places = [*map(Tensor.data_ptr, self.parameters)]
        self.grads = [*map(_grad, self.parameters)]


class _Room:
    """What a step with so many images reads and writes beside the weights.

    Fresh memory costs a page fault every 4 KB, more than the arithmetic on it: it is kept.
    """

    def __init__(self, code: "_Code", n: int, distorted: bool = False) -> None:
        classes = code.architecture.classes
        self.indices, self.scores = torch.arange(n), torch.empty(n, classes)
        self.matrices = torch.empty(n, 2, 3) if distorted else None
        # Without distortions images and their scores' gradient might be given: here they are not.
        not_given = torch.empty(0, PADDED_SIZE, PADDED_SIZE), torch.empty(1, classes)
        others = not_given if self.matrices is None else (self.matrices,)
        self.chosen = [*map(_owned, (self.indices, *others))]
        self.found = code.room(-(-n // code.lanes))
        self.scores_view = _owned(self.scores)

    def choose(self, indices: Tensor, matrices: NDArray[np.float32] | None) -> None:
        """Take the step's images and their distortions."""
        self.indices.copy_(indices)
        if self.matrices is not None:
            self.matrices.copy_(torch.from_numpy(matrices))


def _gradient(parameter: Tensor) -> Tensor:
    """Where a parameter's gradient goes: its own, made if need be; elsewhere if it has none."""
    gradient = parameter.grad
    if gradient is None or not gradient.is_contiguous():
        gradient = torch.empty_like(parameter)
        if parameter.requires_grad:
            parameter.grad = gradient
    return gradient


# --- Kernels and their memory --------------------------------------------------------------------


@lru_cache(maxsize=512)
def _view(address: int, extents: tuple[int, ...]) -> Any:
    """Halide's view of packed float32 memory, which the caller keeps alive during the call.

    Owning nothing, it may be kept: a step's tensors come back to the same few addresses.
    """
    import halide

    memory: Any = (ctypes.c_float * math.prod(extents)).from_address(address)
    return halide.Buffer(np.frombuffer(memory, np.float32).reshape(extents))


def _mask_view(mask: Tensor) -> Any:
    return _view(mask.data_ptr(), tuple(mask.shape))


def _owned(array: Tensor) -> Any:
    """Halide's view of a tensor whose memory it keeps alive."""
    import halide

    return halide.Buffer(array.numpy())


class _Code:
    """One architecture's kernels, compiled at their first use, and the memory they work in."""

    def __init__(self, architecture: Any) -> None:
        self.stages = s = _stages()
        self.architecture = architecture
        self.kernels: dict[str, Any] = {}
        self.lanes: int = s.LANES
        extents = s.weight_extents(architecture)
        self.extents: list[tuple[int, ...]] = list(extents.values())
        self.size = sum(math.prod(e) for e in self.extents)
        self.unflatten: Any = torch._C._nn.unflatten_dense_tensors
        self.rooms = lru_cache(maxsize=_ROOMS)(partial(_Room, self))
        self.rooms_lock = threading.Lock()
        self.views = lru_cache(maxsize=2 * _ROOMS)(self._views)
        # What the kernel reads where images and their scores' gradient are given, and does not use.
        ink, labels = torch.zeros(1, INK_SIZE, INK_SIZE, dtype=torch.uint8), torch.zeros(1).long()
        self.no_set = [*map(_owned, (_words(ink), torch.zeros(2), labels))]
        self.no_loss = _owned(torch.zeros(2))

    def kernel(self, name: str) -> Any:
        """Compiled code by its name in `stages`."""
        return self.kernels.get(name) or self.kernels.setdefault(
            name, _kernel(name, self.architecture)
        )

    def weights(self, parameters: Sequence[Tensor]) -> list[Any]:
        """Views of the parameters."""
        return self.views(tuple([p.data_ptr() for p in parameters]))

    def _views(self, addresses: tuple[int, ...]) -> list[Any]:
        return [_view(at, extents) for at, extents in zip(addresses, self.extents, strict=True)]

    def score(
        self, images: Tensor, parameters: Sequence[Tensor], masks: tuple[Tensor, ...] = ()
    ) -> Tensor:
        """Scores with nothing kept."""
        n, classes = images.shape[0], self.architecture.classes
        scores = torch.empty(n, classes)
        self.kernel("forward_bulk" if n > 1 or masks else "forward_one")(
            _view(images.data_ptr(), (n, PADDED_SIZE, PADDED_SIZE)),
            *self.weights(parameters),
            *map(_mask_view, masks),
            _view(scores.data_ptr(), (n, classes)),
        )
        return scores

    def backward(
        self,
        images: Tensor,
        gradient: Tensor,
        parameters: Sequence[Tensor],
        masks: tuple[Tensor, ...],
    ) -> list[Tensor]:
        """Every parameter's gradient, all in one piece of memory."""
        n = len(images)
        gradients: list[Tensor] = self.unflatten(torch.empty(self.size), parameters)
        with self.rooms_lock:
            room = self.rooms(n)
            self.kernel("learning")(
                *self.no_set,
                room.chosen[0],
                _view(images.data_ptr(), (n, PADDED_SIZE, PADDED_SIZE)),
                _view(gradient.data_ptr(), (n, self.architecture.classes)),
                self.no_loss,
                *self.weights(parameters),
                *map(_mask_view, masks),
                *room.found,
                *self.weights(gradients),
                room.scores_view,
            )
        return gradients

    def room(self, blocks: int) -> list[Any]:
        """Uninitialised arrays for what so many blocks find; torch puts them on cache lines."""
        return [
            _owned(torch.empty([blocks if isinstance(e, str) else e for e in extents]))
            for extents in self.stages.block_extents(self.architecture).values()
        ]


@cache
def _code(architecture: Any) -> _Code:
    return _Code(architecture)


_compiling = threading.Lock()
_compiled: dict[tuple[str, Any], Any] = {}


def _kernel(name: str, of: Any) -> Any:
    """A pipeline of `lenet.kernels.stages`, compiled at its first use."""
    call = _compiled.get((name, of))
    if call is None:
        with _compiling:
            call = _compiled.get((name, of))
            if call is None:
                call = _compiled[name, of] = getattr(_stages(), name)(of).call
    return call


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
