"""Where a network runs: the fused CPU engine or torch, chosen once and said aloud."""

import importlib.util

import torch

from lenet import threads
from lenet.engines.fused import FusedEngine, fuse
from lenet.engines.in_torch import Backprop, Engine
from lenet.errors import EngineError, InputError

__all__ = [
    "DEVICES",
    "ENGINES",
    "Backprop",
    "Engine",
    "FusedEngine",
    "fuse",
    "select_engine",
]

ENGINES = ("auto", "fused", "torch")
DEVICES = ("auto", "cpu", "cuda")


def select_engine(engine: str = "auto", device: str = "auto") -> Engine:
    """The engine for this machine; gives torch and Halide their threads, for the whole process.

    Parameters
    ----------
    engine : {"auto", "fused", "torch"}
        ``auto`` is the fused engine on a CPU for which Halide has a wheel, else torch.
    device : {"auto", "cpu", "cuda"}
        ``auto`` is a CUDA card if torch sees one.

    Returns
    -------
    engine : Engine
        Its `notice` says what was chosen, and why if the fused engine is not to be had.

    Raises
    ------
    InputError
        When a name is unknown.
    EngineError
        When what was asked for by name is not to be had here.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is unknown; use one of {', '.join(ENGINES)}")
    if device not in DEVICES:
        raise InputError(f"device {device!r} is unknown; use one of {', '.join(DEVICES)}")
    count = threads.set_threads()
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "device cuda was asked for, but torch sees no CUDA card; use --device cpu"
        )
    place = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    where = "cuda" if place == "cuda" else f"cpu, {count} thread{'s' if count > 1 else ''}"
    missing = _why_not_fused(place)
    if engine == "fused" and missing:
        raise EngineError(f"engine fused was asked for, but {missing}; use --engine torch")
    chosen = Engine if engine == "torch" or missing else FusedEngine
    why = f": {missing}" if missing and engine == "auto" else ""
    return chosen(torch.device(place), f"engine {chosen.name} on {where}{why}")


def _why_not_fused(place: str) -> str | None:
    """What keeps the fused engine from running here, or None; loads nothing."""
    if place != "cpu":
        return "the fused engine runs on the CPU only"
    if importlib.util.find_spec("halide") is None:
        return "Halide is not installed (no wheel for every machine: pip install 'halide>=21,<22')"
    return None
