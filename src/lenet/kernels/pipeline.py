"""A Halide pipeline under construction, its inputs and outputs by name, and the compiled kernel."""

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

import halide as hl

from lenet.kernels.architecture import Architecture
from lenet.kernels.functions import Func
from lenet.kernels.layout import Extents, pack

_P = ParamSpec("_P")
_R = TypeVar("_R")

_building = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread it lacks
    os.register_at_fork(
        before=_building.acquire,
        after_in_parent=_building.release,
        after_in_child=_building.release,
    )


class Once(Generic[_P, _R]):
    """A function that is computed once in a process for the same arguments, whoever asks.

    `functools.cache` lets every thread that comes while the first computes do it again: the second
    waits here. A process that forks meanwhile waits too.

    Attributes
    ----------
    known : dict
        The results by the arguments.
    """

    def __init__(self, function: Callable[_P, _R]) -> None:
        self._function = function
        self.known: dict[tuple[Hashable, ...], _R] = {}

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """What the function returns; it runs where these arguments are new."""
        key = (*args, *kwargs.items())
        if key not in self.known:
            with _building:
                if key not in self.known:
                    self.known[key] = self._function(*args, **kwargs)
        return self.known[key]


@dataclass(frozen=True)
class Kernel:
    """Compiled code: call with one buffer for each of `inputs`, then of `outputs`."""

    call: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Pipeline:
    """Inputs and outputs by name, in the order in which the kernel takes them."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Func] = {}

    def read(self, name: str, extents: Extents, type_: Any = None) -> Any:
        """An input array with these extents, packed; float32 when no type is given."""
        array = self.take(name, type_ or hl.Float(32), len(extents))
        pack(array, extents)
        return array

    def take(self, name: str, type_: Any, dimensions: int) -> Any:
        """An input array of any extents."""
        self.inputs[name] = hl.ImageParam(type_, dimensions, name.replace(".", "_"))
        return self.inputs[name]

    def number(self, name: str, type_: Any = None) -> Any:
        """An input number; float32 when no type is given."""
        self.inputs[name] = hl.Param(type_ or hl.Float(32), name)
        return self.inputs[name]

    def read_weights(self, architecture: Architecture) -> dict[str, Any]:
        """The parameters of a network."""
        return {name: self.read(name, e) for name, e in architecture.weight_extents.items()}

    def read_masks(self, architecture: Architecture) -> dict[str, Any]:
        """Its Dropout masks."""
        return {name: self.read(name, e) for name, e in architecture.mask_extents.items()}

    def write(self, name: str, f: Func, extents: Extents) -> None:
        """An output array with these extents, packed."""
        pack(f.output_buffer(), extents)
        self.outputs[name] = f

    def compile(self, *, trusting: bool = False) -> Kernel:
        """Machine code for this machine.

        `trusting` leaves out the checks of the arrays' extents, half of the compiler's work: for
        callers that make every array from the same extents.
        """
        # One body for all blocks, the last one's spare lanes included: half the code to compile.
        outputs = [f.never_partition_all() for f in self.outputs.values()]
        target = hl.get_jit_target_from_environment()
        if trusting:
            target = target.with_feature(hl.TargetFeature.NoAsserts)
            target = target.with_feature(hl.TargetFeature.NoBoundsQuery)
        call = hl.Pipeline(outputs).compile_to_callable(list(self.inputs.values()), target)
        return Kernel(call, tuple(self.inputs), tuple(self.outputs))
