"""A LeNet as an ONNX graph, for any program that runs ONNX."""

import importlib.util
from collections.abc import Callable
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
    from onnx import TensorProto, checker, helper, numpy_helper

    operators = {
        name: look_up(_OPERATORS, name, getattr(network, name), "this ONNX graph")
        for name in ("squash", *LAYERS)
    }
    for name, layer in network.named_modules(remove_duplicate=False):
        if name and name not in operators:
            look_up(_LEFT_OUT, name, layer, "this ONNX graph")
    if type(network) not in (Tutorial, Modern):
        raise InputError(f"{type(network).__name__} is a network this ONNX graph does not know")
    nodes, weights = [], []
    names = ["images"]

    def add(operation: str, *parameters: str, **attributes: Any) -> None:
        names.append(f"{operation.lower()}{len(names)}")
        nodes.append(
            helper.make_node(operation, [names[-2], *parameters], [names[-1]], **attributes)
        )

    for name in LAYERS:
        layer = getattr(network, name)
        parameters = [f"{name}.{part}" for part, _ in layer.named_parameters()]
        weights += [
            numpy_helper.from_array(value.detach().cpu().numpy(), f"{name}.{part}")
            for part, value in layer.named_parameters()
        ]
        if name == "c5":
            add("Flatten")
        operation, attributes = operators[name]
        add(operation, *parameters, **attributes(layer))
        if parameters and name != LAYERS[-1]:
            operation, attributes = operators["squash"]
            add(operation, **attributes(network.squash))
    images: list[str | int | None] = ["N", 1, PADDED_SIZE, PADDED_SIZE]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, images)],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, ["N", network.num_classes])],
        weights,
    )
    operator_set = [helper.make_opsetid("", _OPERATOR_SET)]
    model = helper.make_model(graph, opset_imports=operator_set, ir_version=_FORMAT)
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


# ONNX's name, and its attributes from the layer.
_OPERATORS: dict[type[nn.Module], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    nn.Conv2d: ("Conv", _convolution),
    nn.Linear: ("Gemm", _dense),
    nn.MaxPool2d: ("MaxPool", _max),
    nn.AvgPool2d: ("AveragePool", _average),
    nn.ReLU: ("Relu", _none),
    nn.Tanh: ("Tanh", _none),
    nn.Sigmoid: ("Sigmoid", _none),
}

# Between the layers: what evaluation passes through.
_LEFT_OUT: dict[type[nn.Module], None] = {nn.Identity: None, nn.Dropout: None}
