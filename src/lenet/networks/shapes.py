"""Which tensors of another's state dict are which of LeNet-5's: by their shapes, not by names."""

import math
from collections.abc import Mapping
from typing import Any

from lenet.data.preprocessing import INK_SIZE
from lenet.errors import InputError
from lenet.networks import sizes

Shape = tuple[int, ...]

_CONVOLUTIONS: dict[str, Shape] = {
    "c1": (sizes.C1_MAPS, 1, sizes.KERNEL_SIZE, sizes.KERNEL_SIZE),
    "c3": (sizes.C3_MAPS, sizes.C1_MAPS, sizes.KERNEL_SIZE, sizes.KERNEL_SIZE),
}
_DENSE: dict[str, Shape] = {
    "c5": (sizes.C5_UNITS, sizes.S4_FEATURES),
    "f6": (sizes.F6_UNITS, sizes.C5_UNITS),
}
_C5_CONVOLUTION = (sizes.C5_UNITS, sizes.C3_MAPS, sizes.S4_SIZE, sizes.S4_SIZE)
_NORMS = {"c1": "norm1", "c3": "norm3"}
ARTICLE_OPTIONS = {"activation": "sigmoid", "pooling": "average"}
"""What the `Modern` network would be told to compute what the article's does."""

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def variant(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and options for `build_network` of a network that has some of `Modern`'s options.

    Returns
    -------
    name : {"tutorial", "modern"}
        The tutorial's, where the options say no more than the article.
    options : dict
    """
    chosen = {name: value for name, value in options.items() if value}
    if chosen == ARTICLE_OPTIONS:
        return "tutorial", {}
    return "modern", dict(options)


def match_layers(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The names of LeNet-5's tensors in another's state dict.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        By the other's names. C5 may be a convolution, and BatchNorm may follow both convolutions.

    Returns
    -------
    names : dict of str to str
        From our names to theirs: every one of ours, and none of theirs is left over.

    Raises
    ------
    InputError
        When they are not those of a LeNet-5: `not LeNet-5: …` says why.
    """
    weights = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    left = {name: shape for name, shape in shapes.items() if name not in weights}
    found = _find_weights(weights)
    norms: dict[str, str] = {}
    for layer, norm in _NORMS.items():
        norms |= _take_norm(norm, shapes[found[layer]][0], left)
    names = {}
    for layer, weight in found.items():
        names[f"{layer}.weight"] = weight
        names[f"{layer}.bias"] = _take_bias(weight, shapes[weight][0], left)
    if left:
        raise _refused(f"it has {', '.join(left)} too")
    if len(norms) == len(_NORM_PARTS):
        raise _refused("BatchNorm stands after one of its convolutions only")
    return names | norms


def _refused(reason: str) -> InputError:
    return InputError(f"not LeNet-5: {reason}")


def _find_weights(weights: Mapping[str, Shape]) -> dict[str, str]:
    """The five layers' weights, in whatever order they come."""
    odd = [name for name, shape in weights.items() if len(shape) not in (2, 4)]
    if odd:
        raise _refused(f"{_layer(odd[0])} is neither a convolution nor a dense layer")
    dense = [n for n, shape in weights.items() if len(shape) == 2 or shape == _C5_CONVOLUTION]
    convolutions = [name for name in weights if name not in dense]
    for what, there, n, next_ in (
        ("convolution", convolutions, 2, "third"),
        ("dense layer", dense, 3, "fourth"),
    ):
        if len(there) > n:
            raise _refused(f"it has a {next_} {what}, {_described(there[n], weights)}")
        if len(there) < n:
            raise _refused(f"it has {len(there)} {what}s, not {n}")
    # So that of several that do not fit, the likeliest is named: C1 is the smaller, C5 the largest.
    convolutions.sort(key=lambda name: math.prod(weights[name]))
    dense.sort(key=lambda name: math.prod(weights[name]), reverse=True)
    found = {layer: _take(layer, [s], convolutions, weights) for layer, s in _CONVOLUTIONS.items()}
    found["c5"] = _take("c5", [_DENSE["c5"], _C5_CONVOLUTION], dense, weights)
    found["f6"] = _take("f6", [_DENSE["f6"]], dense, weights)
    (output,) = dense
    found["output"] = _take("output", [(weights[output][0], sizes.F6_UNITS)], dense, weights)
    return found


def _take(layer: str, fitting: list[Shape], among: list[str], weights: Mapping[str, Shape]) -> str:
    """The name of a weight that fits a layer; where none does, why the likeliest does not."""
    name = next((name for name in among if weights[name] in fitting), None)
    if name is not None:
        among.remove(name)
        return name
    others = {*_CONVOLUTIONS.values(), *_DENSE.values()}
    name = next((name for name in among if weights[name] not in others), among[0])
    shape = weights[name]
    if layer == "c1" and shape[1] != 1:
        raise _refused(f"{_layer(name)} takes {shape[1]} channels, LeNet-5 takes 1 (grey)")
    if layer == "c5" and shape[1] == _UNPADDED_FEATURES:
        side = _UNPADDED_SIZE
        raise _refused(
            f"{_layer(name)} takes {sizes.C3_MAPS}·{side}·{side} = {shape[1]} inputs: a "
            f"{INK_SIZE}×{INK_SIZE} LeNet without padding; with padding=2 in its first convolution "
            f"it takes {sizes.C3_MAPS}·{sizes.S4_SIZE}·{sizes.S4_SIZE} = {sizes.S4_FEATURES}"
        )
    raise _refused(f"{_described(name, weights)}, where {layer} is {_sizes(fitting[0])}")


_UNPADDED_SIZE = (
    sizes.convolved(sizes.convolved(INK_SIZE) // sizes.POOLING_SIZE) // sizes.POOLING_SIZE
)
_UNPADDED_FEATURES = sizes.C3_MAPS * _UNPADDED_SIZE**2  # 256


def _take_bias(weight: str, units: int, left: dict[str, Shape]) -> str:
    """The bias that belongs to a weight: by its name, else the first of its size."""
    fits = [name for name, shape in left.items() if shape == (units,)]
    if not fits:
        raise _refused(f"{_layer(weight)} has no bias")
    beside = f"{weight.removesuffix('weight')}bias"
    name = beside if beside in fits else fits[0]
    del left[name]
    return name


def _take_norm(norm: str, maps: int, left: dict[str, Shape]) -> dict[str, str]:
    """A BatchNorm of so many maps, taken out of what is left; nothing where there is none."""
    for mean in [name for name in left if name.endswith("running_mean")]:
        theirs = [f"{mean.removesuffix('running_mean')}{part}" for part in _NORM_PARTS]
        if left[mean] == (maps,) and all(name in left for name in theirs):
            for name in theirs:
                del left[name]
            return {f"{norm}.{p}": name for p, name in zip(_NORM_PARTS, theirs, strict=True)}
    return {}


def _layer(name: str) -> str:
    return name.removesuffix(".weight")


def _described(name: str, weights: Mapping[str, Shape]) -> str:
    return f"{_layer(name)} is {_sizes(weights[name])}"


def _sizes(shape: Shape) -> str:
    """A weight's shape in words: a convolution's maps and kernel, a dense layer's units."""
    if len(shape) == 4:
        return f"{shape[1]} → {shape[0]} maps of {shape[2]}×{shape[3]} kernels"
    return f"{shape[1]} → {shape[0]} units"
