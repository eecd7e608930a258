"""How much memory a training takes: `python -m lenet.benchmark.training_memory FOLDER`.

Imports torch and nothing of the house: what is measured is all that comes after.
"""

import re
import runpy
import sys
from pathlib import Path

import torch  # noqa: F401  what the peak is measured beyond

DATA = "fashion-mnist"
STATUS = Path("/proc/self/status")
"""Where Linux tells the peak memory of a process."""


def read_peak() -> int:
    """The process's peak memory so far, in bytes."""
    # VmHWM and not getrusage: a child's ru_maxrss starts at its parent's.
    found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no VmHWM")
    return 1024 * int(found[1])


def train(folder: str) -> None:
    """One epoch of the article's training, as the command line does it."""
    options = f"--data {DATA} --network tutorial --recipe article --epochs 1 --out"
    sys.argv = ["lenet", "train", *options.split(), folder]
    try:
        runpy.run_module("lenet", run_name="__main__")
    except SystemExit as exit_:
        if exit_.code:
            raise


if __name__ == "__main__":
    before = read_peak()
    train(sys.argv[1])
    print(read_peak() - before)
