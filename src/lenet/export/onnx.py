"""A LeNet as an ONNX graph, so that ONNX Runtime can be raced against."""

from typing import Any

from torch import nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import InputError
from lenet.networks import LAYERS, LeNet

_SQUASH: dict[type[nn.Module], str] = {nn.Sigmoid: "Sigmoid", nn.Tanh: "Tanh", nn.ReLU: "Relu"}
_OPERATOR_SET = 17
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
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        raise InputError("BatchNorm: this ONNX graph has none")
    if type(network.squash) not in _SQUASH:
        raise InputError(f"{type(network.squash).__name__}: this ONNX graph has none")
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
        match layer:
            case nn.Conv2d():
                add("Conv", *parameters)
            case nn.Linear():
                if name == "c5":
                    add("Flatten")
                add("Gemm", *parameters, transB=1)
            case nn.AvgPool2d():
                add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
            case nn.MaxPool2d():
                add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            case _:
                raise InputError(f"{name} is a {type(layer).__name__}: this ONNX graph has none")
        if parameters and name != LAYERS[-1]:
            add(_SQUASH[type(network.squash)])
    images: list[str | int | None] = ["N", 1, PADDED_SIZE, PADDED_SIZE]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, images)],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, ["N", network.num_classes])],
        weights,
    )
    operators = [helper.make_opsetid("", _OPERATOR_SET)]
    model = helper.make_model(graph, opset_imports=operators, ir_version=_FORMAT)
    checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized
