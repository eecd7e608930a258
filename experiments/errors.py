"""How far float32 is from float64: the fused engine's and torch's. Writes `results/errors.json`.

Example: `python experiments/errors.py`. Random networks of each kind and normal images; relative to
the largest entry of an array, the worst array of a network. Where a ReLU's sum or the winner of a
pooling is within float32's reach of changing, a gradient may differ by far more, in either
engine: hence medians and 95 % quantiles.
"""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import lenet
from lenet.files import write_atomic
from lenet.machine import describe_machine, list_versions
from lenet.networks import build_network

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = {
    "tutorial": ("tutorial", {}),
    "modern": ("modern", {}),
    "modern, tanh, average": ("modern", {"activation": "tanh", "pooling": "average"}),
    "lecun1998": ("lecun1998", {}),
}
BATCHES = (1, 17, 64)
PARTS = ("scores", "gradients")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=60, help="networks of each kind")
    seeds = parser.parse_args().seeds
    result = {
        "what": "relative error against float64, median and 95 % quantile over networks",
        "command": f"python experiments/errors.py --seeds {seeds}",
        "machine": describe_machine(),
        "versions": list_versions(),
        "networks": {name: compare(*NETWORKS[name], seeds) for name in NETWORKS},
    }
    write_atomic(ROOT / "results" / "errors.json", (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result["networks"], indent=1))


def compare(name: str, options: dict[str, str], seeds: int) -> dict[str, dict[str, list[float]]]:
    """Both engines' errors in the scores and in the worst gradient: median and 95 % quantile."""
    errors: dict[str, list[tuple[float, float]]] = {"lenet.fuse": [], "torch": []}
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = build_network(name, **options)
        images = torch.randn(BATCHES[seed % len(BATCHES)], 1, 32, 32)
        weights = torch.randn(len(images), network.num_classes)
        exact = compute(copy.deepcopy(network).double(), images.double(), weights)
        for engine, module in (("lenet.fuse", lenet.fuse(network)), ("torch", network)):
            scores, *gradients = map(error, compute(module, images, weights), exact)
            errors[engine].append((scores, max(gradients)))
    return {
        engine: {
            part: [float(f"{q:.2g}") for q in np.quantile(values, (0.5, 0.95))]
            for part, values in zip(PARTS, zip(*rows, strict=True), strict=True)
        }
        for engine, rows in errors.items()
    }


def compute(module: nn.Module, images: Tensor, weights: Tensor) -> list[Tensor]:
    """The scores, then every gradient of their weighted sum."""
    module.zero_grad()
    scores = module(images)
    (scores * weights.to(scores.dtype)).sum().backward()
    return [scores.detach(), *(p.grad for p in module.parameters() if p.grad is not None)]


def error(found: Tensor, exact: Tensor) -> float:
    """The largest difference, over the largest entry."""
    return float((found.double() - exact).abs().max() / exact.abs().max())


if __name__ == "__main__":
    main()
