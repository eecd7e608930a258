"""Many 1998 networks trained at once, one pattern at a time: each has a SIMD lane of its own.

One pattern at a time leaves nothing to vectorise within a network, so the lanes are networks: the
same stages as in `lenet.kernels.stages`, but a weight is a vector, one number for each network.
A group of networks fills a vector, and each core takes groups of its own.

A call walks through a chunk of patterns without leaving Halide. There a function has no state, so
"the weights after pattern b" is a function of the weights before it; the array of the former has a
stride of zero along b and shares its memory with the latter. Each pattern's update therefore
overwrites what the next pattern reads. Halide computes a pattern's activations and gradients
before any of its updates, because the updates of all layers share one loop over the patterns.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import halide as hl
import numpy as np
import torch
from numpy.typing import NDArray

from lenet.data.distortions import CENTRE
from lenet.data.preprocessing import BORDER, INK_SIZE, PADDED_SIZE, PAPER_1998, Preprocessing
from lenet.errors import InputError, ShapeError
from lenet.kernels.stages import (
    C1_SIZE,
    C3_SIZE,
    Activation,
    Architecture,
    Connections,
    Expr,
    Forward,
    Func,
    Kernel,
    Pooling,
    b,
    exp,
    k,
    lane,
    lookup,
    m,
    weight_extents,
    window,
    x,
    y,
)
from lenet.networks.frame import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    POOLING_SIZE,
    S2_SIZE,
    S4_FEATURES,
    S4_SIZE,
)
from lenet.networks.layers import ScaledTanh
from lenet.networks.lecun1998 import LeCun1998
from lenet.threads import set_threads

seed, group = hl.vars("seed group")
kx, ky = hl.vars("kx ky")


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
        n = len(labels)
        if ink.shape != (n, INK_SIZE, INK_SIZE) or ink.dtype != np.uint8 or n == 0:
            raise ShapeError(
                f"{n} labels need images ({n}, {INK_SIZE}, {INK_SIZE}) uint8, "
                f"got {ink.shape} {ink.dtype}"
            )
        threads = set_threads()
        self.networks = list(networks)
        self.lanes = lanes or (16 if len(networks) > 8 * threads else 8)
        self.groups = -(-len(networks) // self.lanes)
        self.architecture = Architecture(
            Activation("tanh", ScaledTanh.amplitude, ScaledTanh.slope),
            Pooling("subsampling", networks[0].s2.weight_of_an_input),
            squash_pooled=True,
            connections=Connections(networks[0].c3.table),
            output="rbf",
            classes=networks[0].num_classes,
        )
        self._extents = {
            name: extents
            for name, extents in weight_extents(self.architecture).items()
            if name != "output.centers"
        }
        self._weights = {name: self._gather(name) for name in self._extents}
        self._curvature: dict[str, NDArray[np.float32]] | None = None
        self._given: dict[str, Any] = {
            "ink": np.pad(ink, ((0, 0), (1, 1), (1, 1))),
            "labels": labels.astype(np.int32),
            "factor": preprocessing.factor,
            "offset": preprocessing.offset,
            "output.centers": networks[0].output.centers.numpy(),
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

    def estimate(
        self, order: NDArray[np.integer[Any]], matrices: NDArray[np.float32] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """The Gauss–Newton diagonal over some patterns, for the coming calls of `train`.

        Parameters
        ----------
        order, matrices
            As for `train`.

        Returns
        -------
        diagonal : dict of str to (networks, …) float32
            By parameter name; what `lenet.training.curvature.curvature` computes for one.
        """
        sums = {name: np.zeros_like(weight) for name, weight in self._weights.items()}
        self._walk(2, order, matrices, {f"{name}.sum": h for name, h in sums.items()}, sums)
        self._curvature = {name: h / np.float32(len(order)) for name, h in sums.items()}
        return {name: self._split(name, h) for name, h in self._curvature.items()}

    def _walk(
        self,
        power: Literal[1, 2],
        order: NDArray[np.integer[Any]],
        matrices: NDArray[np.float32] | None,
        more: dict[str, NDArray[np.float32]],
        written: dict[str, NDArray[np.float32]],
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
        kernel = _compile(self.architecture, self.lanes, power, matrices is not None)
        given: dict[str, Any] = {**self._given, **self._weights, **more}
        # Halide counts the elements of an array by its extents, standing still or not.
        largest = max(array.size for array in written.values())
        chunk = (2**31 - 1) // largest
        chunks = []
        for first in range(0, patterns, chunk):
            part = slice(first, first + chunk)
            warps = None if matrices is None else matrices[part]
            chunks.append(self._walk_chunk(kernel, given, order[part], warps, written))
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


class _PerNetwork:
    """A weight array of the replicas, indexed as if it belonged to one network."""

    def __init__(self, array: Any, lanes: int) -> None:
        self.array, self.lanes = array, lanes

    def __getitem__(self, index: Any) -> Expr:
        index = index if isinstance(index, tuple) else (index,)
        return self.array[(lane % self.lanes, *index, lane // self.lanes)]


class _Walk(Forward):
    """One pattern after another through every network: forward, the loss, backward.

    `lane` is the network, `b` the pattern. With ``power`` 2 the backward pass carries second
    derivatives (Eqs. 25 and 27): it squares every factor.
    """

    def __init__(
        self, architecture: Architecture, lanes: int, power: Literal[1, 2], distorted: bool
    ) -> None:
        self.lanes, self.power, self.distorted = lanes, power, distorted
        self.w: dict[str, Any] = {}
        self.sources: dict[str, Func] = {}
        super().__init__(architecture)
        self.gradients: dict[str, Func] = {}
        self.partial: list[Func] = []
        self._loss()
        self._backward()

    # --- What goes in ---------------------------------------------------------------------------

    def read(self, name: str, extents: tuple[int | str, ...]) -> Any:
        """A weight: one array for all networks, but the codes are every network's."""
        if name == "output.centers":
            self.w[name] = super().read(name, extents)
        else:
            self.w[name] = _PerNetwork(
                super().read(name, ("groups", *extents, self.lanes)), self.lanes
            )
        return self.w[name]

    def _input(self) -> Func:
        """Each network's own next image, padded, distorted if asked, scaled."""
        f, size = hl.Func("x"), INK_SIZE + 2
        ink = self.take("ink", hl.UInt(8), 3)  # one pixel of paper around it
        order = self.take("order", hl.Int(32), 2)
        factor, offset = self.number("factor"), self.number("offset")
        index = hl.unsafe_promise_clamped(order[lane, b], 0, ink.dim(2).extent() - 1)
        if not self.distorted:
            column, row = (hl.clamp(v - BORDER + 1, 0, size - 1) for v in (x, y))
            value = hl.cast(hl.Float(32), ink[column, row, index])
        else:
            value = self._warped(ink, index)
        f[lane, x, y, b] = value * factor + offset
        return f

    def _warped(self, ink: Any, index: Expr) -> Expr:
        """What `lenet.data.distortions.warp` computes, for one pixel."""
        matrices = self.take("matrices", hl.Float(32), 3)  # [entry, pattern, network]
        dx, dy = (hl.cast(hl.Float(32), v) - hl.f32(CENTRE) for v in (x, y))
        cells = INK_SIZE + 1

        def place(first: int) -> tuple[Expr, Expr]:
            a, c, start = (matrices[lane, b, first + i] for i in range(3))
            along = a * dx + start + c * dy + hl.f32(CENTRE - BORDER + 1)
            along = hl.clamp(along, hl.f32(0), hl.f32(cells))
            whole = hl.min(hl.cast(hl.Int(32), along), cells - 1)
            whole = hl.unsafe_promise_clamped(whole, 0, cells - 1)
            return whole, along - hl.cast(hl.Float(32), whole)

        (left, across), (top, down) = place(0), place(3)

        def corner(i: int, j: int) -> Expr:
            return hl.cast(hl.Float(32), ink[left + i, top + j, index])

        upper = corner(0, 0) + across * (corner(1, 0) - corner(0, 0))
        lower = corner(0, 1) + across * (corner(1, 1) - corner(0, 1))
        return upper + down * (lower - upper)

    def take(self, name: str, type_: Any, dimensions: int) -> Any:
        """An input array of any extents, packed."""
        self.inputs[name] = hl.ImageParam(type_, dimensions, name)
        return self.inputs[name]

    def number(self, name: str) -> Any:
        """An input number."""
        self.inputs[name] = hl.Param(hl.Float(32), name)
        return self.inputs[name]

    def whole(self, name: str) -> Any:
        """An input count."""
        self.inputs[name] = hl.Param(hl.Int(32), name)
        return self.inputs[name]

    def _dense(self, name: str, source: Func, *rest: Any, **options: Any) -> Func:
        self.sources[name] = source
        return super()._dense(name, source, *rest, **options)

    # --- Backward -------------------------------------------------------------------------------

    def _factor(self, e: Expr) -> Expr:
        return e if self.power == 1 else e * e

    def _slope(self, a: Expr) -> Expr:
        return self._factor(self.architecture.activation.derivative(a))

    def _loss(self) -> None:
        """Eq. (9), or Eq. (8) without competition; its derivatives by F6's outputs."""
        labels, order = self.take("labels", hl.Int(32), 1), self.inputs["order"]
        j, competition = self.number("rubbish_penalty"), self.number("competition")
        last = labels.dim(0).extent() - 1
        label, best = hl.Func("label"), hl.Func("best")
        label[lane, b] = labels[hl.unsafe_promise_clamped(order[lane, b], 0, last)]
        classes = hl.RDom([(0, self.architecture.classes)], "classes")
        score = self.output[lane, classes[0], b]
        best[lane, b] = hl.maximum(score, "best_score")
        # e^score underflows; e^(score − the largest) does not.
        top = hl.max(best[lane, b], -j)
        power, total = hl.Func("power"), hl.Func("total")
        power[lane, k, b] = exp(self.output[lane, k, b] - top)
        total[lane, b] = exp(-j - top)
        total[lane, b] += power[lane, classes[0], b]
        share, right = hl.Func("share"), hl.Func("right")
        share[lane, k, b] = competition * power[lane, k, b] / total[lane, b]
        right[lane, b] = hl.f32(0)
        right[lane, b] += hl.select(classes[0] == label[lane, b], score, hl.f32(0))
        self.penalty, self.wrong = hl.Func("penalty"), hl.Func("wrong")
        at = group * self.lanes + seed
        self.penalty[seed, b, group] = (
            competition * (hl.log(total[at, b]) + hl.max(best[at, b], -j)) - right[at, b]
        )
        self.wrong[seed, b, group] = hl.cast(hl.UInt(8), right[at, b] < best[at, b])

        f = hl.Func("f6_back")
        difference = self.f6[lane, k, b] - self.w["output.centers"][k, classes[0]]
        if self.power == 1:
            # dE/dx = Σ (δ − p) 2 (x − w)
            right_one = hl.select(classes[0] == label[lane, b], hl.f32(1), hl.f32(0))
            f[lane, k, b] = hl.f32(0)
            f[lane, k, b] += hl.f32(2) * (right_one - share[lane, classes[0], b]) * difference
        else:
            # d²E/dx² = 2 (1 − Σ p) + 4 (Σ p (x − w)² − (Σ p (x − w))²)
            mean = hl.Func("f6_moments")
            p = share[lane, classes[0], b]
            mean[lane, k, b] = (hl.f32(0), hl.f32(0), hl.f32(0))
            mean[lane, k, b] = (
                mean[lane, k, b][0] + p,
                mean[lane, k, b][1] + p * difference,
                mean[lane, k, b][2] + p * difference * difference,
            )
            none, first, second = (mean[lane, k, b][i] for i in range(3))
            f[lane, k, b] = hl.max(
                hl.f32(0), hl.f32(2) * (hl.f32(1) - none) + hl.f32(4) * (second - first * first)
            )
            self.partial.append(mean)
        self.f6_back = f
        self.partial += [label, best, power, total, share, right, f]

    def _backward(self) -> None:
        f6 = self._delta("f6", self.f6_back)
        c5_back = self._dense_back("f6", f6, F6_UNITS)
        c5 = self._delta("c5", c5_back)
        s4_back = self._dense_back("c5", c5, C5_UNITS)
        s4, c3, s2, c1 = (hl.Func(f"{name}_delta") for name in ("s4", "c3", "s2", "c1"))
        s4[lane, x, y, m, b] = s4_back[lane, x + S4_SIZE * (y + S4_SIZE * m), b] * self._slope(
            self.s4[lane, x, y, m, b]
        )
        c3[lane, x, y, m, b] = self._unpooled("s4", s4, self.c3)
        s2_back = self._convolution_back(c3)
        s2[lane, x, y, m, b] = s2_back[lane, x, y, m, b] * self._slope(self.s2[lane, x, y, m, b])
        c1[lane, x, y, m, b] = self._unpooled("s2", s2, self.c1)
        self.deltas = {"f6": f6, "c5": c5, "s4": s4, "c3": c3, "s2": s2, "c1": c1}
        self.backs = {"c5": c5_back, "s4": s4_back, "s2": s2_back}
        image = hl.Func("image_maps")
        image[lane, x, y, m, b] = self.x[lane, x, y, b]
        dense = Connections.dense(C1_MAPS, 1)
        self._convolution_gradient("c1", c1, C1_SIZE, image, dense)
        self._pooling_gradient("s2", s2, S2_SIZE, self.c1)
        self._convolution_gradient("c3", c3, C3_SIZE, self.s2, self.architecture.connections)
        self._pooling_gradient("s4", s4, S4_SIZE, self.c3)

    def _delta(self, name: str, back: Func) -> Func:
        f = hl.Func(f"{name}_delta")
        f[lane, k, b] = back[lane, k, b] * self._slope(getattr(self, name)[lane, k, b])
        return f

    def _dense_back(self, name: str, delta: Func, units: int) -> Func:
        f, r = hl.Func(f"{name}_back"), hl.RDom([(0, units)], f"{name}_units")
        f[lane, k, b] = hl.f32(0)
        f[lane, k, b] += self._factor(self.w[f"{name}.weight"][k, r[0]]) * delta[lane, r[0], b]
        return f

    def _unpooled(self, name: str, delta: Func, below: Func) -> Expr:
        arch = self.architecture
        back, here = delta[lane, x // POOLING_SIZE, y // POOLING_SIZE, m, b], (x, y)
        for _ in range(self.power):  # the weight of a connection once, or its square
            back = arch.pooling.back(back, [], *here, self.w[f"{name}.coefficient"][m])
        return back * self._slope(below[lane, x, y, m, b])

    def _convolution_back(self, delta: Func) -> Func:
        """What C3 hands down: each column of a row is added to the five it came from."""
        connections = self.architecture.connections
        outgoing, links = connections.outgoing, connections.links
        fan_out = len(outgoing[0])
        assert all(len(row) == fan_out for row in outgoing)
        leaving = lookup([link for row in outgoing for link in row], "c3_leaving")
        target = lookup([out for out, _ in links], "c3_target")
        f = hl.Func("s2_back")
        r = hl.RDom([(0, C3_SIZE), (0, KERNEL_SIZE), (0, KERNEL_SIZE), (0, fan_out)], "s2_back_r")
        r.where((y >= r[2]) & (y - r[2] < C3_SIZE))
        row = hl.unsafe_promise_clamped(y - r[2], 0, C3_SIZE - 1)
        link = leaving(m * fan_out + r[3])
        weight = self._factor(self.w["c3.weight"][r[1], r[2], link])
        f[lane, x, y, m, b] = hl.f32(0)
        f[lane, r[0] + r[1], y, m, b] += weight * delta[lane, r[0], row, target(link), b]
        return f

    def _convolution_gradient(
        self, name: str, delta: Func, size: int, source: Func, connections: Connections
    ) -> None:
        out = lookup([o for o, _ in connections.links], f"{name}_out")
        into = lookup([i for _, i in connections.links], f"{name}_in")
        r = hl.RDom([(0, size), (0, size)], f"{name}_positions")
        f, bias = hl.Func(f"{name}_gradient"), hl.Func(f"{name}_bias_gradient")
        f[lane, kx, ky, m, b] = hl.f32(0)
        f[lane, kx, ky, m, b] += delta[lane, r[0], r[1], out(m), b] * self._factor(
            source[lane, r[0] + kx, r[1] + ky, into(m), b]
        )
        bias[lane, m, b] = hl.f32(0)
        bias[lane, m, b] += delta[lane, r[0], r[1], m, b]
        self.gradients[f"{name}.weight"] = f
        self.gradients[f"{name}.bias"] = bias

    def _pooling_gradient(self, name: str, delta: Func, size: int, source: Func) -> None:
        """Eq. (23): a coefficient is shared by the four connections of every unit."""
        r = hl.RDom([(0, size), (0, size)], f"{name}_positions")
        pooling = self.architecture.pooling
        inputs = window(source, r[0], r[1], m, b)
        if self.power == 1:
            total = pooling.sum(inputs)
        else:
            total = sum(
                (self._factor(e * hl.f32(pooling.weight_of_an_input)) for e in inputs), hl.f32(0)
            )
        f, bias = hl.Func(f"{name}_gradient"), hl.Func(f"{name}_bias_gradient")
        f[lane, m, b] = hl.f32(0)
        f[lane, m, b] += delta[lane, r[0], r[1], m, b] * total
        bias[lane, m, b] = hl.f32(0)
        bias[lane, m, b] += delta[lane, r[0], r[1], m, b]
        self.gradients[f"{name}.coefficient"] = f
        self.gradients[f"{name}.bias"] = bias

    def gradient(self, name: str, index: Sequence[Any]) -> Expr:
        """dE/dw, or d²E/dw², of network `seed` of the group for pattern `b`."""
        at = group * self.lanes + seed
        layer = name.split(".")[0]
        if layer in ("c5", "f6"):
            delta = self.deltas[layer][at, index[-1], b]
            if name.endswith("bias"):
                return delta
            return delta * self._factor(self.sources[layer][at, index[0], b])
        return self.gradients[name][(at, *index, b)]


def _indices(extents: Sequence[Any]) -> tuple[Any, ...]:
    return {1: (m,), 2: (k, m), 3: (kx, ky, m)}[len(extents)]


@cache
def _compile(
    architecture: Architecture, lanes: int, power: Literal[1, 2], distorted: bool
) -> Kernel:
    """The update of every weight after each pattern, or with `power` 2 the curvature's sum."""
    walk = _Walk(architecture, lanes, power, distorted)
    extents = weight_extents(architecture)
    updates: dict[str, Func] = {}
    for name in extents:
        if name == "output.centers":
            continue
        index = _indices(extents[name])
        arrays = ("groups", *extents[name], lanes)
        update = hl.Func(f"{name.replace('.', '_')}_after")
        at = (seed, *index, group)
        if power == 1:
            rate = Forward.read(walk, f"{name}.rate", arrays)
            value = walk.w[name].array[at] - rate[at] * walk.gradient(name, index)
        else:
            value = Forward.read(walk, f"{name}.sum", arrays)[at] + walk.gradient(name, index)
        update[(seed, *index, b, group)] = value
        for variable, extent in zip(index, reversed(extents[name]), strict=True):
            update.bound(variable, 0, extent)
        updates[name] = update
    _schedule(walk, updates)
    for name, update in updates.items():
        walk.outputs[f"{name}.after"] = update
    walk.outputs |= {"penalty": walk.penalty, "wrong": walk.wrong}
    return walk.compile()


def _schedule(walk: _Walk, updates: dict[str, Func]) -> None:
    lanes = walk.lanes
    leader = updates["c5.weight"]
    patterns, groups = (walk.whole(name) for name in ("patterns", "groups"))
    for f in [*updates.values(), walk.penalty, walk.wrong]:
        f.bound(b, 0, patterns).bound(group, 0, groups)
        f.bound(seed, 0, lanes).vectorize(seed, lanes).parallel(group).never_partition_all()
        if f is not leader:
            f.compute_with(leader, b)

    def vectors(f: Func, *extents: tuple[Any, int]) -> None:
        f.align_bounds(lane, lanes).bound_extent(lane, lanes).vectorize(lane, lanes)
        f.never_partition_all()
        for variable, extent in extents:
            f.bound(variable, 0, extent)
        for i in range(f.num_update_definitions()):
            f.update(i).vectorize(lane, lanes)

    maps = {
        "c1": ((x, C1_SIZE), (y, C1_SIZE), (m, C1_MAPS)),
        "s2": ((x, S2_SIZE), (y, S2_SIZE), (m, C1_MAPS)),
        "c3": ((x, C3_SIZE), (y, C3_SIZE), (m, C3_MAPS)),
        "s4": ((x, S4_SIZE), (y, S4_SIZE), (m, C3_MAPS)),
        "c5": ((k, C5_UNITS),),
        "f6": ((k, F6_UNITS),),
    }
    bounds: list[tuple[Func, Any]] = [
        (getattr(walk, name), extents) for name, extents in maps.items()
    ]
    bounds += [(delta, maps[name]) for name, delta in walk.deltas.items()]
    bounds += [
        (walk.x, ((x, PADDED_SIZE), (y, PADDED_SIZE))),
        (walk.output, ((k, walk.architecture.classes),)),
        (walk.sources["c5"], ((k, S4_FEATURES),)),
        (walk.backs["c5"], maps["c5"]),
        (walk.backs["s4"], ((k, S4_FEATURES),)),
        (walk.backs["s2"], ((x, S2_SIZE),)),
    ]
    bounds += [(f, ()) for f in walk.partial]
    for stage, extents in bounds:
        stage.compute_at(leader, b).store_in(hl.MemoryType.Heap)
        vectors(stage, *extents)

    # Accumulators in registers: C1 four columns by six maps, C3 a row of ten columns.
    for f, name, columns, deep in ((walk.c1, "c1", 4, C1_MAPS), (walk.c3, "c3", C3_SIZE, 1)):
        total, column, map_ = walk.sums[name], hl.Var("column"), hl.Var("map")
        f.split(x, x, column, columns).split(m, m, map_, deep)
        f.reorder(lane, column, map_, x, m, y).unroll(column).unroll(map_)
        total.compute_at(f, x).unroll(x).unroll(m)
        vectors(total)
        r = total.rvars(0)
        total.update().reorder(lane, x, m, r[0], r[1], r[2]).unroll(x).unroll(m).unroll(r[0])
    for f, name in ((walk.c5, "c5"), (walk.f6, "f6"), (walk.output, "output")):
        total, unit = walk.sums[name], hl.Var("unit")
        f.split(k, k, unit, 5 if name == "output" else 12).unroll(unit)
        total.compute_at(f, k).unroll(k)
        vectors(total)
        total.update().reorder(lane, k, total.rvars(0)[0]).unroll(k)

    # Eight units' rows of weights at a time, into sums that stay in the first-level cache.
    for name in ("c5", "s4"):
        f = walk.backs[name]
        (r,) = f.rvars(0)
        few = hl.RVar("few")
        f.update().split(r, r, few, 4 if name == "c5" else 8).reorder(lane, few, k, r).unroll(few)

    # A row of fourteen columns in registers.
    f = walk.backs["s2"]
    r = f.rvars(0)
    f.compute_at(walk.deltas["s2"], y).store_in(hl.MemoryType.Register).unroll(x)
    f.update().reorder(lane, r[1], r[0], r[2], r[3], y, m).unroll(r[1]).unroll(r[0])
    walk.deltas["s2"].unroll(x)

    for name, gradient in walk.gradients.items():
        gradient.compute_at(updates[name], m)
        vectors(gradient)
        r = gradient.rvars(0)
        if name in ("c1.weight", "c3.weight"):
            gradient.unroll(kx).unroll(ky)
            gradient.update().reorder(lane, kx, ky, m, r[0], r[1]).unroll(kx).unroll(ky)
            updates[name].unroll(kx).unroll(ky)
        else:
            gradient.update().reorder(lane, m, r[0], r[1])
