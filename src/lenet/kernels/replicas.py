"""Many 1998 networks trained at once, one pattern at a time: each has a SIMD lane of its own.

One pattern at a time leaves nothing to vectorise within a network, so the lanes are networks. A
group of networks fills a vector, and each core takes groups of its own. A call walks through a
chunk of patterns without leaving Halide: see `lenet.kernels.walk`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import halide as hl
import numpy as np
import torch
from numpy.typing import NDArray

from lenet.data.preprocessing import PAPER_1998, Preprocessing, check_ink
from lenet.errors import InputError, ShapeError
from lenet.kernels import activation, pooling
from lenet.kernels.architecture import Architecture, Connections
from lenet.kernels.pipeline import Kernel
from lenet.kernels.walk import CODES, build_walk
from lenet.networks.lecun1998 import LeCun1998
from lenet.threads import set_threads


class Replicas:
    """Networks of 1998 that learn side by side, each from its own order of the same patterns.

    Parameters
    ----------
    networks : sequence of LeCun1998
        Trained in place, on the CPU; all with the same options and fixed codes.
    ink : (N, 28, 28) uint8
    labels : (N,) int64
    preprocessing : Preprocessing
    rubbish_penalty : float, optional
        The j of Eq. (9); without it the loss is Eq. (8).
    lanes : {8, 16}, optional
        Networks to a group. Default: 16, or 8 when that gives more cores something to do.

    Raises
    ------
    InputError
        When the networks differ, or their codes are trainable.
    ShapeError
        When images and labels do not fit together.

    References
    ----------
    LeCun et al. 1998, Sec. II.C, Sec. III.B, App. C.
    """

    def __init__(
        self,
        networks: Sequence[LeCun1998],
        ink: NDArray[np.uint8],
        labels: NDArray[np.int64],
        preprocessing: Preprocessing = PAPER_1998,
        *,
        rubbish_penalty: float | None,
        lanes: int | None = None,
    ) -> None:
        if not networks:
            raise InputError("there must be at least one network to train")
        options = networks[0].options
        if any(network.options != options for network in networks):
            raise InputError("all replicas must have the same options")
        if options["trainable_codes"]:
            raise InputError("replicas keep their codes; build them with trainable_codes=False")
        if rubbish_penalty is not None and not rubbish_penalty > 0:
            raise InputError(f"the rubbish penalty j must be positive, got {rubbish_penalty}")
        check_ink(ink)
        if len(labels) != len(ink) or not len(ink):
            raise ShapeError(f"{len(ink)} images need as many labels, got {len(labels)}")
        threads = set_threads()
        self.networks = list(networks)
        self.lanes = lanes or (16 if len(networks) > 8 * threads else 8)
        self.groups = -(-len(networks) // self.lanes)
        first = networks[0]
        self.architecture = Architecture(
            activation.KNOWN[type(first.squash)](first.squash),
            pooling.KNOWN[type(first.s2)](first.s2),
            squash_pooled=True,
            connections=Connections(first.c3.table),
            output="rbf",
            classes=first.num_classes,
        )
        self._extents = {
            name: extents
            for name, extents in self.architecture.weight_extents.items()
            if name != CODES
        }
        self._weights = {name: self._gather(name) for name in self._extents}
        self._curvature: dict[str, NDArray[np.float32]] | None = None
        self._given: dict[str, Any] = {
            "ink": np.pad(ink, ((0, 0), (1, 1), (1, 1))),
            "labels": labels.astype(np.int32),
            "factor": preprocessing.factor,
            "offset": preprocessing.offset,
            CODES: first.output.centers.numpy(),
            "rubbish_penalty": 1.0 if rubbish_penalty is None else rubbish_penalty,
            "competition": 0.0 if rubbish_penalty is None else 1.0,
            "groups": self.groups,
        }

    def train(
        self,
        order: NDArray[np.integer[Any]],
        learning_rate: float,
        mu: float,
        matrices: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Learn from patterns, one after another; each weight steps by η / (μ + h).

        Parameters
        ----------
        order : (patterns, networks) integers below N
            The image each network sees next.
        learning_rate, mu : float
            The paper's η and μ; `estimate` gives the h.
        matrices : (patterns, networks, 2, 3) float32, optional
            A distortion for each, as in `lenet.data.distortions`.

        Returns
        -------
        penalty : (patterns, networks) float32
            The loss of each pattern before it was learnt from.
        wrong : (patterns, networks) bool
            Whether it was misread then.
        """
        if self._curvature is None:
            raise InputError("no curvature yet: call estimate before train")
        rates = {
            f"{name}.rate": np.float32(learning_rate) / (np.float32(mu) + h)
            for name, h in self._curvature.items()
        }
        result = self._walk(1, order, matrices, rates, self._weights)
        for name in self._extents:
            self._scatter(name)
        return result

    def compile(self, power: Literal[1, 2], *, distorted: bool) -> Kernel:
        """Compile ahead what `train` runs (`power` 1) or what `estimate` does (2).

        Parameters
        ----------
        power : {1, 2}
        distorted : bool
            Whether matrices will be given.
        """
        return build_walk(self.architecture, self.lanes, power, distorted)

    def estimate(
        self,
        order: NDArray[np.integer[Any]],
        matrices: NDArray[np.float32] | None = None,
        *,
        chunk: int | None = None,
        on_patterns: Callable[[int], None] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """The Gauss–Newton diagonal over some patterns, for the coming calls of `train`.

        Parameters
        ----------
        order, matrices
            As for `train`.
        chunk : int, optional
            So many patterns go before each call of `on_patterns`; all by default.
        on_patterns : function of int, optional
            Told how many patterns have been gone through since it was last called.

        Returns
        -------
        diagonal : dict of str to (networks, …) float32
            By parameter name; what `lenet.training.curvature.estimate_curvature` computes for one.
        """
        sums = {name: np.zeros_like(weight) for name, weight in self._weights.items()}
        given = {f"{name}.sum": h for name, h in sums.items()}
        self._walk(2, order, matrices, given, sums, chunk, on_patterns)
        self._curvature = {name: h / np.float32(len(order)) for name, h in sums.items()}
        return {name: self._split(name, h) for name, h in self._curvature.items()}

    def _walk(
        self,
        power: Literal[1, 2],
        order: NDArray[np.integer[Any]],
        matrices: NDArray[np.float32] | None,
        more: dict[str, NDArray[np.float32]],
        written: dict[str, NDArray[np.float32]],
        chunk: int | None = None,
        on_patterns: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        n, patterns = len(self.networks), len(order)
        if order.shape != (patterns, n) or patterns == 0:
            raise ShapeError(f"order must be (patterns, {n}), got {order.shape}")
        if order.min() < 0 or order.max() >= len(self._given["labels"]):
            raise InputError(f"order must be within the {len(self._given['labels'])} patterns")
        if matrices is not None and matrices.shape != (patterns, n, 2, 3):
            raise ShapeError(
                f"matrices must be {(patterns, n, 2, 3)} as the order is, got {matrices.shape}"
            )
        kernel = self.compile(power, distorted=matrices is not None)
        given: dict[str, Any] = {**self._given, **self._weights, **more}
        # Halide counts the elements of an array by its extents, standing still or not.
        largest = max(array.size for array in written.values())
        chunk = min(chunk or patterns, (2**31 - 1) // largest)
        chunks = []
        for first in range(0, patterns, chunk):
            part = slice(first, first + chunk)
            warps = None if matrices is None else matrices[part]
            chunks.append(self._walk_chunk(kernel, given, order[part], warps, written))
            if on_patterns is not None:
                on_patterns(len(order[part]))
        penalty, wrong = (np.concatenate(each) for each in zip(*chunks, strict=True))
        return penalty, wrong.astype(bool)

    def _walk_chunk(
        self,
        kernel: Kernel,
        given: dict[str, Any],
        order: NDArray[np.integer[Any]],
        matrices: NDArray[np.float32] | None,
        written: dict[str, NDArray[np.float32]],
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        patterns, n, spare = len(order), len(self.networks), ((0, 0), (0, self._spare))
        given = given | {"patterns": patterns}
        given["order"] = np.pad(order.astype(np.int32), spare, "edge")
        if matrices is not None:
            # (patterns, networks, 2, 3) → (6, patterns, networks)
            entries = np.moveaxis(matrices.reshape(patterns, n, 6), -1, 0)
            given["matrices"] = np.pad(entries, ((0, 0), *spare), "edge")
        penalty = np.empty((self.groups, patterns, self.lanes), np.float32)
        wrong = np.empty((self.groups, patterns, self.lanes), np.uint8)
        results: dict[str, Any] = {
            f"{name}.after": _standing(array, patterns) for name, array in written.items()
        }
        results |= {"penalty": penalty, "wrong": wrong}
        values = [given[name] for name in kernel.inputs] + [results[o] for o in kernel.outputs]
        kernel.call(*(hl.Buffer(v) if isinstance(v, np.ndarray) else v for v in values))
        # (groups, patterns, lanes) → (patterns, networks)
        return (
            np.moveaxis(penalty, 1, 0).reshape(patterns, -1)[:, :n],
            np.moveaxis(wrong, 1, 0).reshape(patterns, -1)[:, :n],
        )

    @property
    def _spare(self) -> int:
        return self.groups * self.lanes - len(self.networks)

    def _gather(self, name: str) -> NDArray[np.float32]:
        """(groups, …, lanes): a parameter of all networks, spare lanes like the last."""
        each = [network.get_parameter(name).detach().numpy() for network in self.networks]
        stacked = np.stack(each + each[-1:] * self._spare).astype(np.float32)
        grouped = stacked.reshape(self.groups, self.lanes, *self._extents[name])
        return np.ascontiguousarray(np.moveaxis(grouped, 1, -1))

    def _split(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """(groups, …, lanes) → (networks, …) in the parameter's own shape."""
        shape = self.networks[0].get_parameter(name).shape
        return np.moveaxis(array, -1, 1).reshape(-1, *shape)[: len(self.networks)]

    def _scatter(self, name: str) -> None:
        for network, weight in zip(
            self.networks, self._split(name, self._weights[name]), strict=True
        ):
            with torch.no_grad():
                network.get_parameter(name).copy_(torch.from_numpy(weight))


def _standing(array: NDArray[np.float32], patterns: int) -> NDArray[np.float32]:
    """The array seen once for each pattern, all in the same memory: (groups, patterns, …)."""
    return np.lib.stride_tricks.as_strided(
        array,
        (array.shape[0], patterns, *array.shape[1:]),
        (array.strides[0], 0, *array.strides[1:]),
    )
