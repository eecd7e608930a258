"""Where a network runs: NumPy, the fused CPU engine or torch, chosen once."""

import importlib.util
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from lenet import threads
from lenet.data.preprocessing import Preprocessing
from lenet.engines.in_numpy import NumpyEngine, NumpyNetwork
from lenet.errors import EngineError, InputError
from lenet.networks.models import Model

if TYPE_CHECKING:
    from lenet.engines.in_torch import Engine

EngineName = Literal["auto", "numpy", "fused", "torch"]
TrainingEngineName = Literal["auto", "fused", "torch"]
DeviceName = Literal["auto", "cpu", "cuda"]

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
TRAINING_ENGINES: tuple[TrainingEngineName, ...] = get_args(TrainingEngineName)
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)

MANY = 50_000
"""Images from about which the fused engine scores sooner than NumPy, though torch must be loaded
and kernels be compiled first: `results/cold-starts.json`, by `experiments/cold_starts.py`."""


class Scorer(Protocol):
    """Whatever turns ink into scores."""

    name: str
    notice: str

    def load(self, model: Model) -> Any:
        """The model, ready to score."""

    def scores(
        self, module: Any, ink: NDArray[np.uint8], preprocessing: Preprocessing
    ) -> NDArray[np.float32]:
        """Scores (N, classes) of a whole set (N, 28, 28), by what `load` returned."""


class _Both:
    """A model in NumPy, and in the fused engine from when that is needed."""

    def __init__(self, model: Model) -> None:
        self.few = NumpyNetwork(model)
        self.many: tuple[Engine, Any] | None = None

    def __reduce__(self) -> tuple[type["_Both"], tuple[Model]]:
        return _Both, (self.few.model,)


class AutoEngine(NumpyEngine):
    """NumPy for few images, the fused engine for `MANY` at once where it can run."""

    name = "auto"
    notice = f"engine numpy on cpu, fused from {MANY:,} images on"

    def load(self, model: Model) -> Any:
        """See `Scorer`."""
        return _Both(model)

    def scores(
        self, module: Any, ink: NDArray[np.uint8], preprocessing: Preprocessing
    ) -> NDArray[np.float32]:
        """See `Scorer`."""
        if len(ink) < MANY or _why_not_fused("cpu"):
            return super().scores(module.few, ink, preprocessing)
        if module.many is None:
            engine = select_engine("fused", "cpu")
            module.many = engine, engine.load(module.few.model)
        engine, network = module.many
        scores: NDArray[np.float32] = engine.scores(network, ink, preprocessing)
        return scores


def select_scorer(engine: EngineName = "auto", device: DeviceName = "auto") -> Scorer:
    """What scores trained weights here; NumPy loads nothing else.

    Parameters
    ----------
    engine : {"auto", "numpy", "fused", "torch"}
        ``auto`` is NumPy, and for `MANY` images at once the fused engine.
    device : {"auto", "cpu", "cuda"}
        ``auto`` is the CPU, but for torch a CUDA card if it sees one.

    Raises
    ------
    InputError
        When a name is unknown.
    EngineError
        When what was asked for by name is not to be had here.
    """
    _check(engine, ENGINES, device)
    if device == "cuda" and engine == "numpy":
        raise EngineError("engine numpy runs on the CPU only; use --engine torch")
    if engine == "numpy":
        return NumpyEngine()
    if device == "cuda" or engine != "auto":
        return select_engine(engine, device)
    return AutoEngine()


def select_engine(engine: TrainingEngineName = "auto", device: DeviceName = "auto") -> "Engine":
    """The engine that trains on this machine; torch and Halide get their threads, for good.

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
    import torch

    from lenet.engines.fused import FusedEngine
    from lenet.engines.in_torch import Engine

    _check(engine, TRAINING_ENGINES, device)
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


def _check(engine: str, engines: tuple[str, ...], device: str) -> None:
    for what, name, known in (("engine", engine, engines), ("device", device, DEVICES)):
        if name not in known:
            raise InputError(f"{what} {name!r} is unknown; use one of {', '.join(known)}")


def _why_not_fused(place: str) -> str | None:
    """What keeps the fused engine from running here, or None; loads nothing."""
    if place != "cpu":
        return "the fused engine runs on the CPU only"
    if importlib.util.find_spec("halide") is None:
        return "Halide is not installed (no wheel for every machine: pip install 'halide>=21,<22')"
    return None
