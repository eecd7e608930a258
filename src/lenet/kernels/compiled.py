"""One architecture's kernels, compiled at their first use, and the memory they work in."""

import ctypes
import math
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import halide as hl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lenet.data.preprocessing import INK_SIZE, PADDED_SIZE, Preprocessing
from lenet.kernels import forward, images, step
from lenet.kernels.architecture import Architecture
from lenet.kernels.layout import LANES, Extents
from lenet.kernels.pipeline import Kernel, Once
from lenet.kernels.torch_internals import unflatten_dense_tensors

WORKSPACES_KEPT = 4  # for different numbers of images

_BUILDERS: dict[str, Callable[[Any], Kernel]] = {
    "gather": images.gather,  # takes `distorted`, the others an architecture
    "score_many": forward.score_many,
    "score_one": forward.score_one,
    "step": step.build_step,
    "step_distorted": partial(step.build_step, distorted=True),
    "step_weighted": partial(step.build_step, weighted=True),
    "step_distorted_weighted": partial(step.build_step, distorted=True, weighted=True),
}


@Once
def kernel(name: str, of: Architecture | bool) -> Any:
    """Compiled code by its name in `_BUILDERS`."""
    return _BUILDERS[name](of).call


# --- Views of torch's memory ----------------------------------------------------------------------


@lru_cache(maxsize=512)
def view(address: int, extents: tuple[int, ...]) -> Any:
    """Halide's view of packed float32 memory, which the caller keeps alive during the call.

    Owning nothing, it may be kept: a step's tensors come back to the same few addresses.
    """
    memory: Any = (ctypes.c_float * math.prod(extents)).from_address(address)
    return hl.Buffer(np.frombuffer(memory, np.float32).reshape(extents))


def view_of(tensor: Tensor) -> Any:
    """The same of a packed tensor."""
    return view(tensor.data_ptr(), tuple(tensor.shape))


def owned(array: Tensor) -> Any:
    """Halide's view of a tensor whose memory it keeps alive."""
    return hl.Buffer(array.numpy())


def words(ink: Tensor) -> Tensor:
    """Levels four by four, as the kernels read them: (N, 28, 28) uint8 → (N, 28, 7) uint32."""
    ink = ink.contiguous()
    return (ink.clone() if ink.storage_offset() % images.LEVELS else ink).view(torch.uint32)


def scaling(preprocessing: Preprocessing) -> Tensor:
    """What a level is multiplied by, and what is added: (2,) float32."""
    return torch.tensor([preprocessing.factor, preprocessing.offset])


def check_range(what: str, numbers: Tensor, n: int, of: str) -> None:
    """Refuse numbers that are not 0 … n − 1; there is at least one.

    Raises
    ------
    IndexError
    """
    array = numbers.numpy()
    if np.maximum.reduce(array.view(np.uint64)) >= n:  # where what is negative is large
        low, high = int(array.min()), int(array.max())
        raise IndexError(f"{what} {low if low < 0 else high} is out of range for {n} {of}")


def gather(
    ink: Tensor,
    indices: Tensor,
    preprocessing: Preprocessing,
    matrices: NDArray[np.float32] | None = None,
) -> Tensor:
    """See `lenet.engines.Engine.gather`, which checks shapes and types."""
    gathered = torch.empty(len(indices), 1, PADDED_SIZE, PADDED_SIZE)
    if len(indices) == 0:
        return gathered
    check_range("index", indices, len(ink), "images")
    chosen = [indices.contiguous()]
    if matrices is not None:
        chosen.append(torch.from_numpy(np.ascontiguousarray(matrices)))
    arguments = (words(ink), scaling(preprocessing), *chosen, gathered[:, 0])
    kernel("gather", matrices is not None)(*map(owned, arguments))
    return gathered


# --- An architecture's kernels --------------------------------------------------------------------


class Compiled:
    """The kernels of one architecture; get them from `get_compiled`."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self._kernels: dict[str, Any] = {}
        self._extents = list(architecture.weight_extents.values())
        self._size = sum(math.prod(_numbers(e)) for e in self._extents)
        self._own = threading.local()  # two threads must not work in one workspace
        self._views = lru_cache(maxsize=2 * WORKSPACES_KEPT)(self._views_at)
        # What the kernel reads where images and their scores' gradient are given, and does not use.
        ink, labels = torch.zeros(1, INK_SIZE, INK_SIZE, dtype=torch.uint8), torch.zeros(1).long()
        self._no_set = [*map(owned, (words(ink), torch.zeros(2), labels))]
        self._no_loss = owned(torch.zeros(2))

    def kernel(self, name: str) -> Any:
        """Compiled code by its name."""
        return self._kernels.get(name) or self._kernels.setdefault(
            name, kernel(name, self.architecture)
        )

    def weights(self, parameters: Sequence[Tensor]) -> list[Any]:
        """Views of the parameters, in the kernels' order."""
        return self._views(tuple([p.data_ptr() for p in parameters]))

    def _views_at(self, addresses: tuple[int, ...]) -> list[Any]:
        return [view(at, _numbers(e)) for at, e in zip(addresses, self._extents, strict=True)]

    def score(
        self, images: Tensor, parameters: Sequence[Tensor], masks: tuple[Tensor, ...] = ()
    ) -> Tensor:
        """Scores with nothing kept: (N, 1, 32, 32) → (N, classes)."""
        n, classes = images.shape[0], self.architecture.classes
        scores = torch.empty(n, classes)
        self.kernel("score_many" if n > 1 or masks else "score_one")(
            view(images.data_ptr(), (n, PADDED_SIZE, PADDED_SIZE)),
            *self.weights(parameters),
            *map(view_of, masks),
            view(scores.data_ptr(), (n, classes)),
        )
        return scores

    def backward(
        self,
        images: Tensor,
        gradient: Tensor,
        parameters: Sequence[Tensor],
        masks: tuple[Tensor, ...],
    ) -> list[Tensor]:
        """Every parameter's gradient from that of the scores, all in one piece of memory."""
        n = len(images)
        gradients: list[Tensor] = unflatten_dense_tensors(torch.empty(self._size), parameters)
        workspace = self._workspace(n)
        self.kernel("step")(
            *self._no_set,
            workspace.chosen[0],
            view(images.data_ptr(), (n, PADDED_SIZE, PADDED_SIZE)),
            view_of(gradient),
            self._no_loss,
            *self.weights(parameters),
            *map(view_of, masks),
            *workspace.partial_sums,
            *self.weights(gradients),
            workspace.scores_view,
        )
        return gradients

    def _workspace(self, n: int) -> "Workspace":
        """For so many images, the calling thread's own."""
        try:
            workspaces = self._own.workspaces
        except AttributeError:
            build = partial(Workspace, self.architecture)
            workspaces = self._own.workspaces = lru_cache(maxsize=WORKSPACES_KEPT)(build)
        workspace: Workspace = workspaces(n)
        return workspace


@Once
def get_compiled(architecture: Architecture) -> Compiled:
    """An architecture's kernels, the same object for the same architecture."""
    return Compiled(architecture)


class Workspace:
    """What a step with so many images reads and writes beside the weights.

    Fresh memory costs a page fault every 4 KB, more than the arithmetic on it: it is kept.
    """

    def __init__(self, architecture: Architecture, n: int, distorted: bool = False) -> None:
        classes = architecture.classes
        self.indices, self.scores = torch.arange(n), torch.empty(n, classes)
        self.matrices = torch.empty(n, 2, 3) if distorted else None
        # Without distortions images and their scores' gradient might be given: here they are not.
        not_given = torch.empty(0, PADDED_SIZE, PADDED_SIZE), torch.empty(1, classes)
        others = not_given if self.matrices is None else (self.matrices,)
        self.chosen = [*map(owned, (self.indices, *others))]
        # Uninitialised; torch puts them on cache lines.
        self.partial_sums = [
            owned(torch.empty(_numbers(extents, blocks=-(-n // LANES))))
            for extents in step.block_extents(architecture).values()
        ]
        self.scores_view = owned(self.scores)

    def choose(self, indices: Tensor, matrices: NDArray[np.float32] | None) -> None:
        """Take the step's images and their distortions."""
        self.indices.copy_(indices)
        if self.matrices is not None:
            self.matrices.copy_(torch.from_numpy(matrices))


def _numbers(extents: Extents, blocks: int = 0) -> tuple[int, ...]:
    """Extents with their number of blocks put in."""
    return tuple(blocks if isinstance(e, str) else e for e in extents)
