"""MNIST digits drawn again as photographs of handwriting, and how many of them are read right.

Each photograph is decided by (seed, index) alone. What varies, and how far:

===============  ===================================================================================
size             long side 100 to 2000 px, log-uniform; short side 60 to 100 % of it, either way up
digit            long side 25 to 80 % of the photo's short side, anywhere with a margin of 3 %
rotation         −10 to 10 degrees
pen width        2.5 to 22 % of the digit's long side, log-uniform, at least 1.5 px (MNIST's own:
                 5th to 95th percentile 10 to 21 %); a pen so wide that it would close or merge the
                 digit's loops is narrowed until it does not
pen and paper    any two colours whose luma differs by 35 % of white or more; in 30 % of the
                 photographs the pen is the lighter one
ink              covers 75 to 100 %, unevenly by up to 15 %
paper            grain at three scales, up to 4 % each; up to 6 specks, each smaller than the pen
light            falls off to 45 to 100 % across the photo: one slope, one round spot, together
camera           blur of 0 to 0.3 % of the long side, at most a quarter of the pen width; noise with
                 a standard deviation of 0 to 6 of 255 levels; JPEG quality 35 to 95
===============  ===================================================================================

The digit's medial line is found in the enlarged MNIST image and the pen is drawn along it, so the
pen's width is free of the width MNIST has. This file shares no code with the package's own
preparation of pictures: it imports it only to be examined.

Run ``python tests/photographs.py --count 1000 --json`` to examine the trained weights and store
the result in ``results/photographs.json``, or ``--save FOLDER`` to look at the photographs.
"""

import argparse
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

ENLARGED = 8


@dataclass(frozen=True)
class Photograph:
    jpeg: bytes
    label: int
    inverted: bool
    size: tuple[int, int]
    pen_width: float
    """In pixels of the photograph."""
    digit_size: float


def photograph(digit, label, seed, index):
    """Draw one MNIST image (28, 28) uint8 as a photograph."""
    rng = np.random.default_rng([seed, index])
    long = float(np.exp(rng.uniform(np.log(100), np.log(2000))))
    height, width = sorted((round(long), round(long * rng.uniform(0.6, 1))))
    if rng.random() < 0.5:
        height, width = width, height
    short = min(height, width)

    shape = enlarge(digit)
    line = medial_line(shape)
    extent = max(np.ptp(np.argwhere(shape), axis=0) + 1)  # px of the enlarged image
    digit_size = short * rng.uniform(0.25, 0.8)
    scale = digit_size / extent  # photo px per enlarged px
    pen = max(float(np.exp(rng.uniform(np.log(0.025), np.log(0.22)))) * digit_size, 1.5)
    away = ndimage.distance_transform_edt(~line)
    pen = open_pen(shape, away, pen / scale) * scale

    angle = np.deg2rad(rng.uniform(-10, 10))
    cover = drawn(away, pen, scale, angle, (height, width), rng)
    cover *= rng.uniform(0.75, 1) * (1 - rng.uniform(0, 0.15) * smooth(rng, cover.shape, 1 / 12))
    for _ in range(rng.integers(0, 7)):
        speck(cover, rng, pen)

    blur = min(rng.uniform(0, 0.003) * long, pen / 4)
    if blur > 0.3:  # of the ink alone: paper and light are smooth already
        cover = ndimage.gaussian_filter(cover, blur)
    inverted = bool(rng.random() < 0.3)
    paper_colour, pen_colour = colours(rng, inverted)
    light = lighting(rng, height, width)
    grain = sum(
        rng.uniform(0, 0.04) * (smooth(rng, cover.shape, fineness) - 0.5)
        for fineness in (1 / 60, 1 / 8, 1.0)
    )
    noise = rng.uniform(0, 6)
    light *= 255 * (1 + grain)
    grey_noise = noise * rng.standard_normal(cover.shape, np.float32)
    pixels = np.empty((height, width, 3), np.uint8)
    for channel, (on_paper, of_pen) in enumerate(zip(paper_colour, pen_colour, strict=True)):
        plane = (np.float32(on_paper) + np.float32(of_pen - on_paper) * cover) * light
        pixels[:, :, channel] = np.clip(plane + grey_noise, 0, 255)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(35, 96)))
    return Photograph(file.getvalue(), int(label), inverted, (height, width), pen, digit_size)


def photographs(images, labels, count, seed):
    """`count` photographs of digits drawn without repetition."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    for index in chosen:
        yield photograph(images[index], labels[index], seed, int(index))


def enlarge(digit):
    """(28, 28) uint8 → (8·36, 8·36) bool.

    The outline is where MNIST's grey crosses a level: the lowest that shows all its loops. A loop
    that MNIST's thick pens nearly filled would otherwise be lost with the pen's width, and the
    medial line of such an 8 is a 9.
    """
    grey = ndimage.zoom(np.pad(digit, 4).astype(np.float32), ENLARGED, order=3)
    grey = ndimage.gaussian_filter(grey, ENLARGED / 4)
    shapes = []
    for level in (90, 120, 150, 180, 210):
        labels, _ = ndimage.label(grey > level)
        areas = np.bincount(labels.ravel())[1:]
        large = 1 + np.flatnonzero(areas > 0.03 * areas.max())  # stray pixels are no digit
        shapes.append((np.isin(labels, large), len(large)))
    whole = [shape for shape, count in shapes if count <= shapes[0][1]]
    return max(whole, key=loops)  # the first of equals


def medial_line(shape):
    """Thin a shape to a line one pixel wide (Zhang and Suen 1984)."""
    line = np.pad(shape, 1).astype(np.uint8)
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            n, e, s, w = (np.roll(line, by, ax) for by, ax in ((1, 0), (-1, 1), (-1, 0), (1, 1)))
            ne, se, sw, nw = (
                np.roll(np.roll(line, down, 0), right, 1)
                for down, right in ((1, -1), (-1, -1), (-1, 1), (1, 1))
            )
            ring = [n, ne, e, se, s, sw, w, nw]
            neighbours = sum(ring)
            turns = sum((a == 0) & (b == 1) for a, b in zip(ring, [*ring[1:], n], strict=True))
            first, second = (n & e & s, e & s & w) if step == 0 else (n & e & w, n & s & w)
            gone = (line == 1) & (neighbours >= 2) & (neighbours <= 6) & (turns == 1)
            gone &= (first == 0) & (second == 0)
            if gone.any():
                line[gone] = 0
                changed = True
    return line[1:-1, 1:-1] == 1


def loops(ink):
    """How many patches of paper there are, the outside included, but for the tiniest."""
    labels, _ = ndimage.label(np.pad(~ink, 1, constant_values=True))
    return int((np.bincount(labels.ravel())[1:] >= (0.3 * ENLARGED) ** 2).sum())


def open_pen(shape, away, pen):
    """The widest pen up to `pen` that leaves as many loops open as the digit has."""
    wanted = loops(shape)
    while pen > ENLARGED and loops(away <= pen / 2) != wanted:
        pen *= 0.9
    return pen


def drawn(away, pen, scale, angle, size, rng):
    """How much of each pixel of the photograph the pen covers, (H, W) float32 in 0…1."""
    rows, columns = np.nonzero(away <= pen / scale / 2)
    middle = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    corners = turn @ (np.stack([rows, columns]) - middle[:, None]) * scale
    low, high = corners.min(1), corners.max(1)
    margin = 0.03 * min(size) + 1
    # Where the middle may be so that all ink lies inside the margin; shrunk ink always fits.
    centre = [
        rng.uniform(margin - lo, max(margin - lo, side - margin - hi))
        for lo, hi, side in zip(low, high, size, strict=True)
    ]
    inverse = turn.T / scale
    distance = ndimage.affine_transform(
        away.astype(np.float32),
        inverse,
        middle - inverse @ np.array(centre),
        output_shape=size,
        order=1,
        cval=1e3,
    )
    return np.clip((pen / 2 / scale - distance) * scale + 0.5, 0, 1).astype(np.float32)


def smooth(rng, size, fineness):
    """Random cloud in 0…1 with `fineness` grains per pixel."""
    if fineness >= 1:
        return rng.random(size, np.float32)
    small = rng.random([max(2, int(side * fineness) + 2) for side in size], np.float32)
    cloud = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.clip(np.asarray(cloud), 0, 1)


def speck(cover, rng, pen):
    """A speck of dirt or ink, smaller than the pen is wide."""
    radius = rng.uniform(0.1, 0.45) * pen
    row, column = (rng.uniform(0, side) for side in cover.shape)
    reach = int(radius) + 2
    top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
    part = cover[top : int(row) + reach, left : int(column) + reach]
    y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    dark = np.clip(radius + 0.5 - np.hypot(y - row, x - column), 0, 1) * rng.uniform(0.3, 1)
    np.maximum(part, dark, out=part)


def colours(rng, inverted):
    """Two RGB colours in 0…1: the paper's and the pen's."""
    luma = np.array([0.299, 0.587, 0.114])
    while True:
        light, dark = 1 - 0.45 * rng.random(3) ** 1.5, rng.random(3)
        if luma @ light - luma @ dark >= 0.35:
            return (dark, light) if inverted else (light, dark)


def lighting(rng, height, width):
    """Falls off across the photo: (H, W) float32, brightest 1."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    direction = rng.uniform(0, 2 * np.pi)
    slope = np.cos(direction) * x + np.sin(direction) * y
    row, column = rng.uniform(-1, 1, 2)
    spot = np.exp(-((x - column) ** 2 + (y - row) ** 2) / rng.uniform(1, 4))
    both = slope * rng.uniform(0, 1) + spot * rng.uniform(0, 1)
    both -= both.min()
    both /= max(float(both.max()), 1e-6)
    darkest = rng.uniform(0.45, 1)
    return (darkest + (1 - darkest) * both).astype(np.float32)


def naive_ink(image):
    """What most do: squeeze the photo to 28×28, turn it round when it is mostly bright."""
    grey = np.asarray(image.convert("L").resize((28, 28)), np.uint8)
    return 255 - grey if grey.mean() > 127 else grey


def examine(classifier, photos):
    """Read every photograph as a file's bytes, as an open image, and without preparation."""
    n = right = right_opened = right_without = 0
    for photo in photos:
        n += 1
        right += classifier.predict(photo.jpeg).label == str(photo.label)
        image = Image.open(io.BytesIO(photo.jpeg))
        without = classifier.predict_ink(naive_ink(image)[None])[0]
        right_without += without.label == str(photo.label)
        image = Image.open(io.BytesIO(photo.jpeg))
        right_opened += classifier.predict(image).label == str(photo.label)
    return {
        "n": n,
        "n_right": right,
        "n_right_opened_images": right_opened,
        "n_right_without_preparation": right_without,
        "accuracy": right / n,
        "accuracy_opened_images": right_opened / n,
        "accuracy_without_preparation": right_without / n,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--part", choices=["train", "test"], default="test")
    parser.add_argument("--weights", default="mnist")
    parser.add_argument("--json", action="store_true", help="store results/photographs.json")
    parser.add_argument("--save", type=Path, help="write the photographs here and stop")
    arguments = parser.parse_args()

    from lenet.classifier import Classifier
    from lenet.data.datasets import load_dataset
    from lenet.machine import describe_machine, list_versions

    part = load_dataset("mnist").part(arguments.part)
    photos = photographs(part.images, part.labels, arguments.count, arguments.seed)
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
        for number, photo in enumerate(photos):
            (arguments.save / f"{number:04d}-{photo.label}.jpg").write_bytes(photo.jpeg)
        return
    result = {
        "command": " ".join(["python", "tests/photographs.py", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": list_versions(),
        "weights": arguments.weights,
        "data": f"mnist {arguments.part}",
        "seed": arguments.seed,
        **examine(Classifier.load(arguments.weights), photos),
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.json:
        path = Path(__file__).parents[1] / "results" / "photographs.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
