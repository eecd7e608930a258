"""Draw docs/images/roofline.png: what results/bench.json reached, under that machine's limits."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lenet.figures import style
from lenet.kernels.coverage import describe
from lenet.kernels.layout import LANES
from lenet.kernels.step import block_extents
from lenet.networks import build_network
from lenet.networks.summary import count_flops, summarize

ROOT = Path(__file__).resolve().parent.parent
BATCH = 256
FLOAT = 4
IMAGE, INK = 32 * 32, 28 * 28
OPTIMIZER_PASSES = 7  # Adam: weight, gradient and two moments read, three of them written
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


@style.styled
def draw() -> Figure:
    """The machine's limits, and where each peer's training step lies under them."""
    bench = json.loads((ROOT / "results" / "bench.json").read_text("utf-8"))
    peak, bandwidth = bench["peak_gflops"], bench["memory_gb_per_second"]
    flops = sum(count_flops(build_network("tutorial")).values())
    intensities = {
        who: flops / FLOAT / numbers_moved(fused=who == "lenet")
        for who in ("lenet", "torch-eager", "torch-compile")
    }
    figure = style.new_figure(4.2, width=7.6)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axis = np.geomspace(1, 1000, 200)
    axes.loglog(axis, np.minimum(axis * bandwidth, peak), color=style.TEXT)
    axes.text(5, peak / 1.05, f"matrix product {peak:.0f} GFLOP/s", va="top")
    axes.text(1.1, 2.2 * bandwidth, f"memory\n{bandwidth:.0f} GB/s")
    for row in bench["rows"]:
        key = (row["task"], row["network"], row["batch_size"])
        if key == ("training", "tutorial", BATCH) and row["who"] in intensities:
            reached = row["images_per_second"] * flops / 1e9
            place = intensities[row["who"]]
            axes.plot(place, reached, "o", markersize=9, color=COLOURS[row["who"]])
            label = f"{row['who']}: {reached:.0f} GFLOP/s, {reached / peak:.0%}"
            if row["who"] == "lenet":
                label += "\n(counted as defined; it does fewer)"
            # Above its point where the roof is near, else beside it.
            place_of_label = (-60, 12) if reached > peak / 2 else (10, -4)
            axes.annotate(label, (place, reached), place_of_label, textcoords="offset points")
    axes.set_xlabel("operations for each byte moved")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(
        f"Training `tutorial`, batch {BATCH} · {bench['machine']} · {bench['threads']} threads"
    )
    axes.set_xlim(1, 1000)
    axes.set_ylim(10, 3 * peak)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True)
    return figure


if __name__ == "__main__":
    style.write(ROOT / "docs" / "images" / "roofline.png", draw())
