"""One pattern after another through many 1998 networks, each in a SIMD lane: the Halide pipeline.

In the dimensions of `lenet.kernels.layout`, ``lane`` is here the network and ``b`` the pattern; a
weight is a vector, one number for each network. ``group`` is a vector's worth of networks, of
which each core takes some, and ``seed`` the network within its group.

A function of Halide's has no state, so "the weights after pattern b" is a function of the weights
before it; the array of the former has a stride of zero along b and shares its memory with the
latter. Each pattern's update therefore overwrites what the next pattern reads. Halide computes a
pattern's activations and gradients before any of its updates, because the updates of all layers
share one loop over the patterns.
"""

from collections.abc import Sequence
from typing import Any, Literal

import halide as hl

from lenet.data.preprocessing import BORDER, INK_SIZE, PADDED_SIZE
from lenet.kernels.architecture import C1_CONNECTIONS, Architecture, Connections
from lenet.kernels.convolution import convolve
from lenet.kernels.dense import activation_back, dense_back
from lenet.kernels.forward import compose
from lenet.kernels.functions import Expr, Func, exp, raised
from lenet.kernels.images import warp
from lenet.kernels.layout import C1_SIZE, C3_SIZE, Extents, b, group, k, lane, lookup, m, x, y
from lenet.kernels.pipeline import Kernel, Once, Pipeline
from lenet.kernels.pooling import Trainable, unpool, unsquash, window
from lenet.networks.sizes import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    S2_SIZE,
    S4_FEATURES,
    S4_SIZE,
)

seed, kx, ky = hl.vars("seed kx ky")

CODES = "output.centers"
"""The one parameter that all networks share and none learns."""


@Once
def build_walk(
    architecture: Architecture, lanes: int, power: Literal[1, 2], distorted: bool
) -> Kernel:
    """The update of every weight after each pattern, or with `power` 2 the curvature's sum.

    Parameters
    ----------
    lanes : int
        Networks to a group.
    power : {1, 2}
        With 2 the backward pass carries second derivatives (LeCun et al. 1998, Eqs. 25 and 27): it
        squares every factor.
    distorted : bool
        Whether each network's next image is distorted by a matrix of its own.
    """
    pipeline = Pipeline()
    patterns = _Patterns(pipeline, architecture, lanes, power, distorted)
    updates: dict[str, Func] = {}
    for name, extents in architecture.weight_extents.items():
        if name == CODES:
            continue
        index = {1: (m,), 2: (k, m), 3: (kx, ky, m)}[len(extents)]
        arrays: Extents = ("groups", *extents, lanes)
        update = hl.Func(f"{name.replace('.', '_')}_after")
        at = (seed, *index, group)
        if power == 1:
            rate = pipeline.read(f"{name}.rate", arrays)
            value = patterns.arrays[name][at] - rate[at] * patterns.gradient(name, index)
        else:
            value = pipeline.read(f"{name}.sum", arrays)[at] + patterns.gradient(name, index)
        update[(seed, *index, b, group)] = value
        for variable, extent in zip(index, reversed(extents), strict=True):
            update.bound(variable, 0, extent)
        updates[name] = update
    _schedule(pipeline, patterns, updates)
    pipeline.outputs = {f"{name}.after": update for name, update in updates.items()}
    pipeline.outputs |= {"penalty": patterns.penalty, "wrong": patterns.wrong}
    return pipeline.compile(trusting=True)


class _PerNetwork:
    """A weight array of the replicas, indexed as if it belonged to one network."""

    def __init__(self, array: Any, lanes: int) -> None:
        self.array, self.lanes = array, lanes

    def __getitem__(self, index: Any) -> Expr:
        index = index if isinstance(index, tuple) else (index,)
        return self.array[(lane % self.lanes, *index, lane // self.lanes)]


class _Patterns:
    """One pattern after another through every network: forward, the loss, backward."""

    def __init__(
        self,
        pipeline: Pipeline,
        architecture: Architecture,
        lanes: int,
        power: int,
        distorted: bool,
    ) -> None:
        self.pipeline, self.lanes, self.power = pipeline, lanes, power
        self.architecture = architecture
        images = self._images(distorted)
        self.arrays = {
            name: pipeline.read(name, extents if name == CODES else ("groups", *extents, lanes))
            for name, extents in architecture.weight_extents.items()
        }
        self.weights = {
            name: array if name == CODES else _PerNetwork(array, lanes)
            for name, array in self.arrays.items()
        }
        self.layers = compose(architecture, images, self.weights, {}, convolve)
        self.gradients: dict[str, Func] = {}
        self.partial: list[Func] = []
        self._loss()
        self._backward()

    def _images(self, distorted: bool) -> Func:
        """Each network's own next image, padded, distorted if asked, scaled."""
        f, size, take = hl.Func("x"), INK_SIZE + 2, self.pipeline.take
        ink = take("ink", hl.UInt(8), 3)  # one pixel of paper around it
        order = take("order", hl.Int(32), 2)
        factor, offset = (self.pipeline.number(n) for n in ("factor", "offset"))
        index = hl.unsafe_promise_clamped(order[lane, b], 0, ink.dim(2).extent() - 1)
        if distorted:
            matrices = take("matrices", hl.Float(32), 3)  # [entry, pattern, network]

            def corners(left: Expr, top: Expr) -> list[Expr]:
                return [
                    hl.cast(hl.Float(32), ink[left + i, top + j, index])
                    for j in range(2)
                    for i in range(2)
                ]

            level = warp(lambda axis, i: matrices[lane, b, 3 * axis + i], corners)
        else:
            column, row = (hl.clamp(v - BORDER + 1, 0, size - 1) for v in (x, y))
            level = hl.cast(hl.Float(32), ink[column, row, index])
        f[lane, x, y, b] = level * factor + offset
        return f

    # --- Backward -------------------------------------------------------------------------------

    def _loss(self) -> None:
        """Eq. (9), or Eq. (8) without competition; its derivatives by F6's outputs."""
        output = self.layers.output.output
        labels, order = self.pipeline.take("labels", hl.Int(32), 1), self.pipeline.inputs["order"]
        j, competition = (self.pipeline.number(n) for n in ("rubbish_penalty", "competition"))
        last = labels.dim(0).extent() - 1
        label, best = hl.Func("label"), hl.Func("best")
        label[lane, b] = labels[hl.unsafe_promise_clamped(order[lane, b], 0, last)]
        classes = hl.RDom([(0, self.architecture.classes)], "classes")
        score = output[lane, classes[0], b]
        best[lane, b] = hl.maximum(score, "best_score")
        # e^score underflows; e^(score − the largest) does not.
        top = hl.max(best[lane, b], -j)
        power, total = hl.Func("power"), hl.Func("total")
        power[lane, k, b] = exp(output[lane, k, b] - top)
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
        self._f6_back(label, share, classes)
        self.partial += [label, best, power, total, share, right, self.f6_back]

    def _f6_back(self, label: Func, share: Func, classes: Any) -> None:
        """The loss's first or second derivative by F6's outputs."""
        f = self.f6_back = hl.Func("f6_back")
        p = share[lane, classes[0], b]
        difference = self.layers.f6.output[lane, k, b] - self.weights[CODES][k, classes[0]]
        if self.power == 1:
            # dE/dx = Σ (δ − p) 2 (x − w)
            right_one = hl.select(classes[0] == label[lane, b], hl.f32(1), hl.f32(0))
            f[lane, k, b] = hl.f32(0)
            f[lane, k, b] += hl.f32(2) * (right_one - p) * difference
            return
        # d²E/dx² = 2 (1 − Σ p) + 4 (Σ p (x − w)² − (Σ p (x − w))²)
        moments = hl.Func("f6_moments")
        moments[lane, k, b] = (hl.f32(0), hl.f32(0), hl.f32(0))
        moments[lane, k, b] = (
            moments[lane, k, b][0] + p,
            moments[lane, k, b][1] + p * difference,
            moments[lane, k, b][2] + p * difference * difference,
        )
        zeroth, first, second = (moments[lane, k, b][i] for i in range(3))
        f[lane, k, b] = hl.max(
            hl.f32(0), hl.f32(2) * (hl.f32(1) - zeroth) + hl.f32(4) * (second - first * first)
        )
        self.partial.append(moments)

    def _backward(self) -> None:
        """Back through the layers, and the gradients of what they share."""
        arch, layers, weights, power = self.architecture, self.layers, self.weights, self.power
        squash = arch.activation
        f6 = activation_back("f6", self.f6_back, layers.f6.output, squash, power=power)
        c5_back = dense_back("f6", f6, F6_UNITS, weights["f6.weight"], power)
        c5 = activation_back("c5", c5_back, layers.c5.output, squash, power=power)
        flat_back = dense_back("c5", c5, C5_UNITS, weights["c5.weight"], power)
        s4, c3, s2, c1 = (hl.Func(f"{name}_delta") for name in ("s4", "c3", "s2", "c1"))
        at = (lane, x, y, m, b)
        s4[at] = unsquash(
            flat_back[lane, x + S4_SIZE * (y + S4_SIZE * m), b], layers.s4[at], squash, power
        )
        coefficient = weights["s4.coefficient"]
        c3[at] = unpool(s4, layers.c3.output, arch.pooling, coefficient, squash, power)
        s2_back = self._c3_inputs_back(c3)
        s2[at] = unsquash(s2_back[at], layers.s2[at], squash, power)
        coefficient = weights["s2.coefficient"]
        c1[at] = unpool(s2, layers.c1.output, arch.pooling, coefficient, squash, power)
        self.deltas = {"f6": f6, "c5": c5, "s4": s4, "c3": c3, "s2": s2, "c1": c1}
        self.backs = {"c5": c5_back, "s4": flat_back, "s2": s2_back}
        image = hl.Func("image_maps")
        image[lane, x, y, m, b] = layers.images[lane, x, y, b]
        self._convolution_gradient("c1", c1, C1_SIZE, image, C1_CONNECTIONS)
        self._pooling_gradient("s2", s2, S2_SIZE, layers.c1.output)
        self._convolution_gradient("c3", c3, C3_SIZE, layers.s2, arch.connections)
        self._pooling_gradient("s4", s4, S4_SIZE, layers.c3.output)

    def _c3_inputs_back(self, delta: Func) -> Func:
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
        weight = raised(self.weights["c3.weight"][r[1], r[2], link], self.power)
        f[lane, x, y, m, b] = hl.f32(0)
        f[lane, r[0] + r[1], y, m, b] += weight * delta[lane, r[0], row, target(link), b]
        return f

    def _convolution_gradient(
        self, name: str, delta: Func, size: int, source: Func, connections: Connections
    ) -> None:
        out = lookup([o for o, _ in connections.links], f"{name}_out")
        into = lookup([i for _, i in connections.links], f"{name}_in")
        f, r = hl.Func(f"{name}_gradient"), hl.RDom([(0, size), (0, size)], f"{name}_positions")
        f[lane, kx, ky, m, b] = hl.f32(0)
        f[lane, kx, ky, m, b] += delta[lane, r[0], r[1], out(m), b] * raised(
            source[lane, r[0] + kx, r[1] + ky, into(m), b], self.power
        )
        self.gradients[f"{name}.weight"] = f
        self._bias_gradient(name, delta, r)

    def _pooling_gradient(self, name: str, delta: Func, size: int, source: Func) -> None:
        """Eq. (23): a coefficient is shared by the four connections of every unit."""
        f, r = hl.Func(f"{name}_gradient"), hl.RDom([(0, size), (0, size)], f"{name}_positions")
        pooling = self.architecture.pooling
        assert isinstance(pooling, Trainable)
        inputs = window(source, r[0], r[1], m, b)
        if self.power == 1:
            total = pooling.sum(inputs)
        else:
            each = [raised(e * hl.f32(pooling.weight_of_an_input), self.power) for e in inputs]
            total = sum(each, hl.f32(0))
        f[lane, m, b] = hl.f32(0)
        f[lane, m, b] += delta[lane, r[0], r[1], m, b] * total
        self.gradients[f"{name}.coefficient"] = f
        self._bias_gradient(name, delta, r)

    def _bias_gradient(self, name: str, delta: Func, r: Any) -> None:
        f = self.gradients[f"{name}.bias"] = hl.Func(f"{name}_bias_gradient")
        f[lane, m, b] = hl.f32(0)
        f[lane, m, b] += delta[lane, r[0], r[1], m, b]

    def gradient(self, name: str, index: Sequence[Any]) -> Expr:
        """dE/dw, or d²E/dw², of network `seed` of the group for pattern `b`."""
        at = group * self.lanes + seed
        layer, part = name.split(".")
        if layer in ("c5", "f6"):
            delta = self.deltas[layer][at, index[-1], b]
            if part == "bias":
                return delta
            source = getattr(self.layers, layer).source
            return delta * raised(source[at, index[0], b], self.power)
        return self.gradients[name][(at, *index, b)]


# --- The schedule ---------------------------------------------------------------------------------


def _schedule(pipeline: Pipeline, patterns: _Patterns, updates: dict[str, Func]) -> None:
    """All of a pattern within its turn of the one loop over patterns, which C5's update leads."""
    lanes, loop = patterns.lanes, updates["c5.weight"]
    n_patterns, n_groups = (pipeline.number(n, hl.Int(32)) for n in ("patterns", "groups"))
    for f in [*updates.values(), patterns.penalty, patterns.wrong]:
        f.bound(b, 0, n_patterns).bound(group, 0, n_groups)
        f.bound(seed, 0, lanes).vectorize(seed, lanes).parallel(group).never_partition_all()
        if f is not loop:
            f.compute_with(loop, b)
    for stage, extents in _bounds(patterns):
        stage.compute_at(loop, b).store_in(hl.MemoryType.Heap)
        _vectorize(stage, lanes, *extents)
    _tile_forward(patterns)
    _tile_backward(patterns)
    _tile_gradients(patterns, updates)


def _bounds(patterns: _Patterns) -> list[tuple[Func, tuple[tuple[Any, int], ...]]]:
    """What is computed for each pattern, and how large it is."""
    layers, deltas, backs = patterns.layers, patterns.deltas, patterns.backs
    sized: dict[str, tuple[Func, tuple[tuple[Any, int], ...]]] = {
        "c1": (layers.c1.output, ((x, C1_SIZE), (y, C1_SIZE), (m, C1_MAPS))),
        "s2": (layers.s2, ((x, S2_SIZE), (y, S2_SIZE), (m, C1_MAPS))),
        "c3": (layers.c3.output, ((x, C3_SIZE), (y, C3_SIZE), (m, C3_MAPS))),
        "s4": (layers.s4, ((x, S4_SIZE), (y, S4_SIZE), (m, C3_MAPS))),
        "c5": (layers.c5.output, ((k, C5_UNITS),)),
        "f6": (layers.f6.output, ((k, F6_UNITS),)),
    }
    return [
        *sized.values(),
        *((delta, sized[name][1]) for name, delta in deltas.items()),
        (layers.images, ((x, PADDED_SIZE), (y, PADDED_SIZE))),
        (layers.output.output, ((k, patterns.architecture.classes),)),
        (layers.flat, ((k, S4_FEATURES),)),
        (backs["c5"], ((k, C5_UNITS),)),
        (backs["s4"], ((k, S4_FEATURES),)),
        (backs["s2"], ((x, S2_SIZE),)),
        *((f, ()) for f in patterns.partial),
    ]


def _vectorize(f: Func, lanes: int, *extents: tuple[Any, int]) -> None:
    f.align_bounds(lane, lanes).bound_extent(lane, lanes).vectorize(lane, lanes)
    f.never_partition_all()
    for variable, extent in extents:
        f.bound(variable, 0, extent)
    for i in range(f.num_update_definitions()):
        f.update(i).vectorize(lane, lanes)


def _tile_forward(patterns: _Patterns) -> None:
    """Register tiles: C1 four columns by six maps, C3 a row of ten columns, dense layers units."""
    layers = patterns.layers
    for layer, columns, deep in ((layers.c1, 4, C1_MAPS), (layers.c3, C3_SIZE, 1)):
        f, total, column, map_ = layer.output, layer.sums, hl.Var("column"), hl.Var("map")
        f.split(x, x, column, columns).split(m, m, map_, deep)
        f.reorder(lane, column, map_, x, m, y).unroll(column).unroll(map_)
        total.compute_at(f, x).unroll(x).unroll(m)
        _vectorize(total, patterns.lanes)
        r = total.rvars(0)
        total.update().reorder(lane, x, m, r[0], r[1], r[2]).unroll(x).unroll(m).unroll(r[0])
    for dense, units in ((layers.c5, 12), (layers.f6, 12), (layers.output, 5)):
        f, total, unit = dense.output, dense.sums, hl.Var("unit")
        f.split(k, k, unit, units).unroll(unit)
        total.compute_at(f, k).unroll(k)
        _vectorize(total, patterns.lanes)
        total.update().reorder(lane, k, total.rvars(0)[0]).unroll(k)


def _tile_backward(patterns: _Patterns) -> None:
    """Dense layers some units at a time, C3's input gradient a row at a time."""
    # Eight units' rows of weights at a time, into sums that stay in the first-level cache.
    for name, units in (("c5", 4), ("s4", 8)):
        f, few = patterns.backs[name], hl.RVar("few")
        (r,) = f.rvars(0)
        f.update().split(r, r, few, units).reorder(lane, few, k, r).unroll(few)
    # A row of fourteen columns in registers.
    f, delta = patterns.backs["s2"], patterns.deltas["s2"]
    r = f.rvars(0)
    f.compute_at(delta, y).store_in(hl.MemoryType.Register).unroll(x)
    f.update().reorder(lane, r[1], r[0], r[2], r[3], y, m).unroll(r[1]).unroll(r[0])
    delta.unroll(x)


def _tile_gradients(patterns: _Patterns, updates: dict[str, Func]) -> None:
    """The five by five taps of a kernel in registers."""
    for name, gradient in patterns.gradients.items():
        gradient.compute_at(updates[name], m)
        _vectorize(gradient, patterns.lanes)
        r = gradient.rvars(0)
        if name in ("c1.weight", "c3.weight"):
            gradient.unroll(kx).unroll(ky)
            gradient.update().reorder(lane, kx, ky, m, r[0], r[1]).unroll(kx).unroll(ky)
            updates[name].unroll(kx).unroll(ky)
        else:
            gradient.update().reorder(lane, m, r[0], r[1])
