"""The picture roofline.png: what results/bench.json reached, under that machine's limits."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lenet.figures import style
from lenet.kernels.convolution import TOOM_COOK
from lenet.kernels.coverage import describe
from lenet.kernels.layout import LANES
from lenet.kernels.step import block_extents
from lenet.networks import build_network
from lenet.networks.sizes import KERNEL_SIZE
from lenet.networks.summary import count_flops, summarize

ROOT = Path(__file__).resolve().parent.parent
BATCH = 256
FLOAT = 4
IMAGE, INK = 32 * 32, 28 * 28
OPTIMIZER_PASSES = 7  # Adam: weight, gradient and two moments read, three of them written
NAMES = {"lenet": "lenet", "torch-eager": "PyTorch", "torch-compile": "torch.compile"}
COLOURS = {"lenet": style.BEST, "torch-eager": style.VALIDATION, "torch-compile": style.TRAIN}


def numbers_moved(fused: bool) -> float:
    """Numbers of one `tutorial` training step, for an image, that go to the caches or back.

    Layer by layer, each operation reads its inputs and writes its output. In one task for each
    block, only its pictures come in and only what it says of the parameters goes out and is read.
    """
    network = build_network("tutorial")
    layers = {row.layer: int(np.prod(row.output_shape)) for row in summarize(network)}
    parameters = sum(p.numel() for p in network.parameters())
    weights = (2 + 1 + OPTIMIZER_PASSES) * parameters / BATCH  # both ways, gradient, update
    if fused:
        return INK / FLOAT + 2 * said_by_a_block() / LANES + weights
    sizes = [IMAGE, *layers.values()]
    moved = 0
    for name, before, after in zip(layers, sizes[:-1], sizes[1:], strict=True):
        moved += before + after  # forward
        moved += after + after + before + before  # both gradients: the input, the output's, ours
        if name not in ("s2", "s4", "output"):  # squashing: forward, and back from the output
            moved += 2 * after + 3 * after
    return moved + weights


def said_by_a_block() -> int:
    """Numbers that are written for a block of images and read where blocks are added up."""
    architecture = describe(build_network("tutorial"), dropout=False)
    return sum(
        int(np.prod([1 if isinstance(e, str) else e for e in extents]))
        for extents in block_extents(architecture).values()
    )


def share_of_products() -> float:
    """Of the multiplications that `tutorial` has as it is defined, those that the kernels do."""
    network = build_network("tutorial")
    defined = {row.layer: row.multiply_adds for row in summarize(network)}
    passes = {layer: 2 if layer == "c1" else 3 for layer in defined}  # C1 needs no input gradient
    done = {
        layer: count * TOOM_COOK[layer].count / (TOOM_COOK[layer].outputs * KERNEL_SIZE)
        for layer, count in defined.items()
        if layer in TOOM_COOK
    }
    total = sum(passes[layer] * count for layer, count in defined.items())
    return sum(passes[layer] * count for layer, count in (defined | done).items()) / total


@style.styled
def draw() -> Figure:
    """The machine's limits, and where each peer's training step lies under them."""
    bench = json.loads((ROOT / "results" / "bench.json").read_text("utf-8"))
    peak, bandwidth = bench["peak_gflops"], bench["memory_gb_per_second"]
    flops = sum(count_flops(build_network("tutorial")).values())
    fewer = peak / share_of_products()
    figure = style.new_figure(4.6)
    top = style.heading(
        figure,
        f"Training tutorial, batches of {BATCH}",
        f"Solid: what the memory can bring ({bandwidth:.0f} GB/s) and the cores can multiply "
        f"({peak:.0f} GFLOP/s). Dashed: what they can with the products that lenet's "
        f"convolutions save. {bench['machine']}, {bench['threads']} threads.",
    )
    axes = figure.add_axes((0.105, 0.115, 0.85, 1 - top - 0.135))
    axis = np.geomspace(1, 1000, 200)
    axes.loglog(axis, np.minimum(axis * bandwidth, peak), color=style.TEXT)
    beyond = axis[axis * bandwidth >= peak]
    axes.loglog(
        beyond, np.minimum(beyond * bandwidth, fewer), color=style.TEXT, linewidth=1, dashes=(4, 3)
    )
    for row in bench["rows"]:
        key = (row["task"], row["network"], row["batch_size"])
        if key != ("training", "tutorial", BATCH) or row["who"] not in COLOURS:
            continue
        who, reached = row["who"], row["images_per_second"] * flops / 1e9
        place = flops / FLOAT / numbers_moved(fused=who == "lenet")
        roof = fewer if who == "lenet" else peak
        axes.plot(place, reached, "o", markersize=9, color=COLOURS[who])
        axes.annotate(
            f"{NAMES[who]}: {reached:.0f} GFLOP/s, {reached / roof:.0%} of its roof",
            (place, reached),
            (0, 15) if who == "lenet" else (10, 0),
            textcoords="offset points",
            ha="center" if who == "lenet" else "left",
            va="center",
            size=9,
            weight="bold",
            color=style.MUTED if COLOURS[who] == style.TRAIN else COLOURS[who],
        )
    axes.set_xlabel("operations for each byte moved")
    axes.set_ylabel("GFLOP/s, as the network is defined")
    axes.set_xlim(1, 1000)
    axes.set_ylim(20, 2 * fewer)
    for direction in (axes.xaxis, axes.yaxis):
        direction.set_major_formatter("{x:,.0f}")
        direction.set_minor_formatter("")
    axes.set_yticks([20, 50, 100, 200, 500])
    axes.grid(visible=True)
    axes.tick_params(which="minor", length=0)
    return figure
