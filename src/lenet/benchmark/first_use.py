"""How long the first use of a network compiles: `python -m lenet.benchmark.first_use NETWORK`."""

import sys
import time

import torch

from lenet.data.preprocessing import INK_SIZE, PADDED_SIZE, PAPER_1998
from lenet.engines import select_engine
from lenet.networks import build_network

_BATCH_SIZE = 64
_SCORED = (1, 1024)  # one image and many have kernels of their own
_WARM_USES = 3


def measure_first_use(network: str) -> float:
    """Seconds that training and scoring take beyond a warm use; true in a fresh process alone."""
    torch.nn.Linear(1, 1)(torch.zeros(1, 1)).sum().backward()  # torch starts its threads
    first = _use(network)
    return first - min(_use(network) for _ in range(_WARM_USES))


def _use(name: str) -> float:
    """Seconds to compile a network, train it by both ways and score with it."""
    engine = select_engine("auto", "cpu")
    ink = torch.zeros(_BATCH_SIZE, INK_SIZE, INK_SIZE, dtype=torch.uint8)
    labels = torch.zeros(_BATCH_SIZE, dtype=torch.int64)
    start = time.perf_counter()
    module = engine.compile(build_network(name))
    engine.backprop(module, ink, labels, PAPER_1998, weight=1)(labels)
    module(engine.gather(ink, labels, PAPER_1998)).sum().backward()
    with torch.no_grad():
        for n in _SCORED:
            module.eval()(torch.zeros(n, 1, PADDED_SIZE, PADDED_SIZE))
    return time.perf_counter() - start


if __name__ == "__main__":
    print(measure_first_use(sys.argv[1]))
