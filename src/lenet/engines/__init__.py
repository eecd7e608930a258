"""Where a network runs: NumPy, the fused CPU engine or torch.

Importing this room loads neither torch nor Halide: their engines are looked up when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lenet.engines.choice import (
    DEVICES,
    ENGINES,
    MANY,
    TRAINING_ENGINES,
    DeviceName,
    EngineName,
    Scorer,
    TrainingEngineName,
    select_engine,
    select_scorer,
)

if TYPE_CHECKING:
    from lenet.engines.fused import FusedEngine as FusedEngine
    from lenet.engines.fused import fuse as fuse
    from lenet.engines.in_torch import Backprop as Backprop
    from lenet.engines.in_torch import Engine as Engine

__all__ = [
    "DEVICES",
    "ENGINES",
    "MANY",
    "TRAINING_ENGINES",
    "Backprop",
    "DeviceName",
    "Engine",
    "EngineName",
    "FusedEngine",
    "Scorer",
    "TrainingEngineName",
    "fuse",
    "select_engine",
    "select_scorer",
]

_HOME_OF = {"Backprop": "in_torch", "Engine": "in_torch", "FusedEngine": "fused", "fuse": "fused"}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
