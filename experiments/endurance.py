"""Ten thousand steps in one process: does it grow? Writes `results/endurance.json`.

Example: `python experiments/endurance.py`. Half of the steps are those of `lenet train`, half are
`lenet.fuse` with autograd; batches of 64 and of 17 by turns.
"""

import argparse
import gc
import json
import re
import sys
from pathlib import Path

import torch

from lenet.data.preprocessing import PAPER_1998
from lenet.engines import select_engine
from lenet.files import write_atomic
from lenet.machine import describe_machine
from lenet.networks import build_network
from lenet.training.optimizers import flatten

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    steps = parser.parse_args().steps
    engine = select_engine("fused")
    network = build_network("modern", dropout=0.1)
    weights = flatten(network)
    module = engine.compile(network)
    optimizer = torch.optim.Adam([weights], 1e-4, fused=True)
    ink = torch.randint(0, 256, (6000, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (6000,))
    backprop = engine.backprop(module.train(), ink, labels, PAPER_1998, weight=1 / 64)
    update = engine.updater(optimizer)
    grown = {}
    with engine.cores():
        for step in range(1, steps + 1):
            batch = torch.randint(0, len(ink), ((64, 17)[step % 2],))
            if step % 4 < 2:
                backprop(batch)
            else:
                weights.grad.zero_()
                scores = module(engine.gather(ink, batch, PAPER_1998))
                torch.nn.functional.cross_entropy(scores, labels[batch]).backward()
            update()
            if step % (steps // 10) == 0:
                gc.collect()
                grown[step] = resident_mb()
                print(f"step {step:,}: {grown[step]:.1f} MB", file=sys.stderr, flush=True)
    result = {
        "what": "resident memory of one process, MB of 2**20 bytes, by step",
        "command": " ".join(["python experiments/endurance.py", *sys.argv[1:]]),
        "machine": describe_machine(),
        "resident_mb": grown,
    }
    write_atomic(
        ROOT / "results" / "endurance.json", (json.dumps(result, indent=1) + "\n").encode()
    )


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, 1)


if __name__ == "__main__":
    main()
