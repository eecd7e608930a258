"""A Halide pipeline under construction, its inputs and outputs by name, and the compiled kernel."""

from dataclasses import dataclass
from typing import Any

import halide as hl

from lenet.kernels.architecture import Architecture
from lenet.kernels.functions import Func
from lenet.kernels.layout import Extents, pack


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
