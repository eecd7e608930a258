"""The ONNX graph beside the network it was made of."""

import importlib.util

import pytest
import torch

from lenet.errors import InputError
from lenet.export.onnx import onnx_model
from lenet.networks import build_network

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


@pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime are not installed (extra: bench)")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tutorial", {}),
        ("modern", {}),
        ("modern", {"activation": "tanh", "pooling": "average", "dropout": 0.5}),
    ],
)
def test_onnx_graph_gives_the_networks_scores(name: str, options: dict[str, object]) -> None:
    import onnxruntime

    network = build_network(name, num_classes=7, **options).eval()
    session = onnxruntime.InferenceSession(onnx_model(network), providers=["CPUExecutionProvider"])
    for n in (1, 5):
        images = torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(n))
        (scores,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(scores), network(images))


@pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime are not installed (extra: bench)")
def test_onnx_graph_refuses_what_it_would_get_wrong() -> None:
    with pytest.raises(InputError, match="BatchNorm"):
        onnx_model(build_network("modern", batch_norm=True))
    with pytest.raises(InputError, match="ScaledTanh"):
        onnx_model(build_network("lecun1998"))
