"""Folders of pictures as people have them: objects on paper, one subfolder for each class.

Each picture is decided by (seed, class, index) alone. What varies, and how far:

==========  ========================================================================================
size        each side 90 to 900 px, log-uniform
object      36 to 64 % of the short side, anywhere with a margin of 3 %, turned at will (silhouettes
            and letters by 12 degrees either way), of any colour darker than the paper
paper       light, brighter on one side by up to 30 %, grain and noise of up to 5 of 255 levels
==========  ========================================================================================

Run ``python tests/drawn_folders.py FOLDER --kind parts`` to have one to train on.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COUNT = 60
_FINE = 512  # dots of an object's side

Draw = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]


def _around(middle: float, radius: float, count: int, turn: float = 0.0):
    angles = turn + 2 * math.pi * np.arange(count) / count
    return [(middle + radius * math.cos(a), middle + radius * math.sin(a)) for a in angles]


def _nut(draw, rng):
    half = _FINE / 2
    draw.polygon(_around(half, half - 2, 6), fill=255)
    hole = half * rng.uniform(0.42, 0.55)
    draw.ellipse((half - hole, half - hole, half + hole, half + hole), fill=0)


def _washer(draw, rng):
    half = _FINE / 2
    draw.ellipse((2, 2, _FINE - 2, _FINE - 2), fill=255)
    hole = half * rng.uniform(0.42, 0.55)
    draw.ellipse((half - hole, half - hole, half + hole, half + hole), fill=0)


def _bolt(draw, rng):
    half, shaft = _FINE / 2, _FINE * rng.uniform(0.09, 0.13)
    head = _FINE * rng.uniform(0.17, 0.24)
    draw.rectangle((half - shaft, _FINE * 0.15, half + shaft, _FINE - 2), fill=255)
    draw.rectangle((half - head, 2, half + head, _FINE * rng.uniform(0.16, 0.22)), fill=255)


def _scaled(points, rng, wobble=0.03):
    return [(_FINE * (x + rng.normal(0, wobble / 3)), _FINE * y) for x, y in points]


def _shirt(draw, rng):
    sleeve = rng.uniform(0.32, 0.42)
    right = [(0.58, 0.04), (0.72, 0.06), (0.98, sleeve - 0.06), (0.86, sleeve + 0.04), (0.73, 0.26)]
    side = [*right, (0.73, 0.96)]
    draw.polygon(_scaled([*side, *[(1 - x, y) for x, y in side[::-1]]], rng), fill=255)


def _trousers(draw, rng):
    waist, leg = rng.uniform(0.17, 0.22), rng.uniform(0.09, 0.13)
    side = [(0.5 + waist, 0.02), (0.5 + waist + 0.06, 0.98), (0.5 + waist + 0.06 - leg, 0.98)]
    left = [(1 - x, y) for x, y in side[::-1]]
    draw.polygon(_scaled([*side, (0.5, 0.3), *left], rng), fill=255)


def _boot(draw, rng):
    shaft, sole = rng.uniform(0.45, 0.55), rng.uniform(0.9, 0.97)
    points = [(0.12, 0.05), (shaft, 0.05), (shaft, 0.55), (0.95, 0.72), (0.97, sole), (0.1, sole)]
    draw.polygon(_scaled(points, rng), fill=255)


def _bag(draw, rng):
    top = rng.uniform(0.38, 0.46)
    draw.polygon(_scaled([(0.08, top), (0.92, top), (0.98, 0.95), (0.02, 0.95)], rng), fill=255)
    box = (_FINE * 0.28, _FINE * 0.06, _FINE * 0.72, _FINE * (2 * top - 0.06))
    draw.arc(box, 180, 360, fill=255, width=round(_FINE * 0.05))


def _letter(*strokes: tuple[tuple[float, float], ...]) -> Draw:
    def letter(draw, rng):
        pen = round(_FINE * rng.uniform(0.05, 0.16))
        inset = pen / 2 / _FINE
        for stroke in strokes:
            moved = [(inset + x * (1 - 2 * inset), inset + y * (1 - 2 * inset)) for x, y in stroke]
            path = _scaled(moved, rng, 0.05)
            draw.line(path, fill=255, width=pen, joint="curve")
            for x, y in path:
                draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)

    return letter


KINDS: dict[str, tuple[dict[str, Draw], float]] = {
    "parts": ({"bolt": _bolt, "nut": _nut, "washer": _washer}, 180),
    "garments": ({"bag": _bag, "boot": _boot, "shirt": _shirt, "trousers": _trousers}, 12),
    "letters": (
        {
            "A": _letter(((0.1, 1), (0.5, 0), (0.9, 1)), ((0.28, 0.6), (0.72, 0.6))),
            "H": _letter(((0.1, 0), (0.1, 1)), ((0.9, 0), (0.9, 1)), ((0.1, 0.5), (0.9, 0.5))),
            "L": _letter(((0.2, 0), (0.2, 1), (0.8, 1))),
            "N": _letter(((0.15, 1), (0.15, 0), (0.85, 1), (0.85, 0))),
            "Z": _letter(((0.1, 0), (0.9, 0), (0.1, 1), (0.9, 1))),
        },
        12,
    ),
}
"""For each kind its classes, and by how many degrees its objects are turned at most."""


def draw_picture(kind: str, name: str, seed: int, index: int, longest: int = 900) -> Image.Image:
    """One picture in colour; `longest` bounds its sides."""
    classes, turn = KINDS[kind]
    rng = np.random.default_rng([seed, list(classes).index(name), index])
    width, height = (round(math.exp(rng.uniform(math.log(90), math.log(longest)))) for _ in "xy")
    mask = Image.new("L", (_FINE, _FINE), 0)
    classes[name](ImageDraw.Draw(mask), rng)
    mask = mask.rotate(rng.uniform(-turn, turn), Image.Resampling.BICUBIC, expand=True)
    mask = mask.crop(mask.getbbox())
    short = min(width, height)
    scale = short * rng.uniform(0.36, 0.64) / max(mask.size)
    mask = mask.resize([max(1, round(side * scale)) for side in mask.size], Image.Resampling.BOX)
    margin = 0.03 * short
    left = rng.uniform(margin, width - margin - mask.width)
    top = rng.uniform(margin, height - margin - mask.height)
    cover = Image.new("L", (width, height), 0)
    cover.paste(mask, (round(left), round(top)))
    cover = cover.filter(ImageFilter.GaussianBlur(short / 400))

    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = rng.uniform(0, 2 * math.pi)
    slope = (x * math.cos(angle) + y * math.sin(angle)) / math.sqrt(2)  # −1 … 1
    light = 1 - rng.uniform(0, 0.3) * (slope + 1) / 2
    grain = np.array(
        Image.fromarray(
            rng.normal(0, 1, (height // 12 + 2, width // 12 + 2)).astype(np.float32)
        ).resize((width, height), Image.Resampling.BICUBIC)
    )
    paper = rng.uniform(200, 250, 3) + np.array((8, 4, 0))
    colour = rng.uniform(20, 130, 3)
    share = np.array(cover, np.float32)[..., None] / 255
    levels = (paper * (1 - share) + colour * share) * light[..., None]
    levels += rng.uniform(0, 5) * grain[..., None]
    levels += rng.uniform(0, 5) * rng.standard_normal((height, width, 1))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def draw_folder(
    folder: Path, kind: str = "parts", count: int = COUNT, seed: int = 0, longest: int = 900
) -> Path:
    """`count` pictures of each class as JPEG; `longest` bounds their sides."""
    for name in KINDS[kind][0]:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = draw_picture(kind, name, seed, index, longest)
            picture.save(folder / name / f"{index:03}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=KINDS, default="parts")
    parser.add_argument("--count", type=int, default=COUNT, help="pictures of each class")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw_folder(arguments.folder, arguments.kind, arguments.count, arguments.seed)
