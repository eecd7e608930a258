"""A LeNet as an ONNX graph, for any program that runs ONNX."""

import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import InputError, LenetError
from lenet.networks import LAYERS, LeNet
from lenet.networks.layers import look_up
from lenet.networks.modern import Modern
from lenet.networks.tutorial import Tutorial

_OPERATOR_SET = 17
_N_CHECKED = 16  # images
_TOLERANCE = 1e-5  # of the largest score
_FORMAT = 8  # of the file: what ONNX Runtime has read since 2022


def onnx_model(network: LeNet) -> bytes:
    """`tutorial`, or `modern` without BatchNorm, for any batch size.

    Returns
    -------
    model : bytes
        Input `images` (N, 1, 32, 32) float32, output `scores` (N, classes) float32.

    Raises
    ------
    InputError
        When a layer has no counterpart here.
    LenetError
        When the package onnx is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        raise LenetError("onnx is not installed: pip install onnx onnxruntime")
    from onnx import TensorProto, checker, helper

    writers = {
        name: look_up(_OPERATORS, name, getattr(network, name), "this ONNX graph")
        for name in ("squash", *LAYERS)
    }
    for name, layer in network.named_modules(remove_duplicate=False):
        if name and name not in writers:
            look_up(_LEFT_OUT, name, layer, "this ONNX graph")
    if type(network) not in (Tutorial, Modern):
        raise InputError(f"{type(network).__name__} is a network this ONNX graph does not know")
    graph = _Graph("images")
    for name in LAYERS:
        layer = getattr(network, name)
        weights = [
            graph.constant(value.detach().cpu().numpy(), f"{name}.{part}")
            for part, value in layer.named_parameters()
        ]
        if name == "c5":
            graph.add("Flatten")
        writers[name](graph, layer, weights)
        if weights and name != LAYERS[-1]:
            writers["squash"](graph, network.squash, [])
    images: list[str | int | None] = ["N", 1, PADDED_SIZE, PADDED_SIZE]
    scores: list[str | int | None] = ["N", network.num_classes]
    whole = helper.make_graph(
        graph.nodes,
        network.name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, images)],
        [helper.make_tensor_value_info(graph.value, TensorProto.FLOAT, scores)],
        graph.constants,
    )
    operator_set = [helper.make_opsetid("", _OPERATOR_SET)]
    model = helper.make_model(whole, opset_imports=operator_set, ir_version=_FORMAT)
    checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def check_onnx(model: bytes, network: LeNet) -> str:
    """Hold a graph against its network, on random images, in ONNX Runtime.

    Returns
    -------
    sentence : str
        How far apart their scores are; or that ONNX Runtime is not here to try.

    Raises
    ------
    LenetError
        When they differ by more than rounding.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return "not tried: onnxruntime is not installed (pip install onnxruntime)"
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    shape = (_N_CHECKED, 1, PADDED_SIZE, PADDED_SIZE)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        wanted = network.cpu().eval()(images).numpy()
    error, largest = float(np.abs(found - wanted).max()), float(np.abs(wanted).max())
    if not error <= _TOLERANCE * largest:
        raise LenetError(f"ONNX Runtime's scores differ by {error:.2g} of at most {largest:.2g}")
    return f"tried in ONNX Runtime: scores differ by at most {error:.1g}"


class _Graph:
    """Nodes, each of which takes what the one before it gave.

    Attributes
    ----------
    value : str
        The name of what the last node gave.
    """

    def __init__(self, value: str) -> None:
        self.value = value
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operation: str, *more: str, **attributes: Any) -> None:
        """One node more, of the last value and others."""
        from onnx import helper

        given, self.value = self.value, f"{operation.lower()}{len(self.nodes) + 1}"
        self.nodes.append(helper.make_node(operation, [given, *more], [self.value], **attributes))

    def constant(self, value: Any, name: str | None = None) -> str:
        """The name of a float32 array that is in the file."""
        from onnx import numpy_helper

        name = name or f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name


_Writer = Callable[[_Graph, Any, Sequence[str]], None]


def _operator(operation: str, attributes: Callable[[Any], dict[str, Any]]) -> _Writer:
    """A layer that is one node of the graph."""

    def write(graph: _Graph, layer: Any, weights: Sequence[str]) -> None:
        graph.add(operation, *weights, **attributes(layer))

    return write


def _clip(graph: _Graph, layer: nn.Hardtanh, weights: Sequence[str]) -> None:
    graph.add("Clip", graph.constant(layer.min_val), graph.constant(layer.max_val))


def _silu(graph: _Graph, layer: nn.SiLU, weights: Sequence[str]) -> None:
    given = graph.value
    graph.add("Sigmoid")
    graph.add("Mul", given)


def _gelu(graph: _Graph, layer: nn.GELU, weights: Sequence[str]) -> None:
    """Z (1 + h) / 2: the operator itself is younger than this set of them."""
    z = graph.value
    if layer.approximate == "none":
        graph.add("Mul", graph.constant(math.sqrt(0.5)))
        graph.add("Erf")
    else:
        root = math.sqrt(2 / math.pi)
        graph.add("Mul", z)
        graph.add("Mul", graph.constant(0.044715 * root))
        graph.add("Add", graph.constant(root))
        graph.add("Mul", z)
        graph.add("Tanh")
    graph.add("Add", graph.constant(1.0))
    graph.add("Mul", graph.constant(0.5))
    graph.add("Mul", z)


def _convolution(layer: nn.Conv2d) -> dict[str, Any]:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise InputError(f"this ONNX graph pads with a number of zeros, got {layer}")
    return {
        "strides": layer.stride,
        "pads": layer.padding * 2,
        "dilations": layer.dilation,
        "group": layer.groups,
    }


def _dense(layer: nn.Linear) -> dict[str, Any]:
    return {"transB": 1}


def _max(layer: nn.MaxPool2d) -> dict[str, Any]:
    return {**_window(layer), "dilations": _pair(layer.dilation)}


def _average(layer: nn.AvgPool2d) -> dict[str, Any]:
    if layer.divisor_override is not None:
        raise InputError(f"this ONNX graph has no divisor_override, got {layer.divisor_override}")
    return {**_window(layer), "count_include_pad": int(layer.count_include_pad)}


def _window(layer: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    return {
        "kernel_shape": _pair(layer.kernel_size),
        "strides": _pair(layer.stride),
        "pads": _pair(layer.padding) * 2,
        "ceil_mode": int(layer.ceil_mode),
    }


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else size


def _none(layer: nn.Module) -> dict[str, Any]:
    return {}


# By the layer's class, what writes its nodes.
_OPERATORS: dict[type[nn.Module], _Writer] = {
    nn.Conv2d: _operator("Conv", _convolution),
    nn.Linear: _operator("Gemm", _dense),
    nn.MaxPool2d: _operator("MaxPool", _max),
    nn.AvgPool2d: _operator("AveragePool", _average),
    nn.ReLU: _operator("Relu", _none),
    nn.LeakyReLU: _operator("LeakyRelu", lambda layer: {"alpha": layer.negative_slope}),
    nn.ELU: _operator("Elu", lambda layer: {"alpha": layer.alpha}),
    nn.GELU: _gelu,
    nn.SiLU: _silu,
    nn.Tanh: _operator("Tanh", _none),
    nn.Sigmoid: _operator("Sigmoid", _none),
    nn.Hardtanh: _clip,
    nn.Hardsigmoid: _operator("HardSigmoid", lambda _: {"alpha": 1 / 6, "beta": 0.5}),
    nn.Hardswish: _operator("HardSwish", _none),
}

# Between the layers: what evaluation passes through.
_LEFT_OUT: dict[type[nn.Module], None] = {nn.Identity: None, nn.Dropout: None}
