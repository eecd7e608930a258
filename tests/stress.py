"""MNIST digits drawn with what is around them outside data sets: boxes, desks, lines, neighbours.

A digit is drawn 200 to 280 px high on a page, then put in a box, on a desk, on ruled paper, cut out
tightly, or beside another. Each picture is decided by (case, index) alone. This file shares no code
with the package's own preparation of pictures.

Run ``python tests/stress.py`` for the table, ``--json`` to store it in ``results/stress.json``, or
``--save FOLDER`` to look at the pictures.
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

PAPER, INK = 235, 25
SURE = 0.9

# Of each digit: top, two upper, middle, two lower, bottom.
SEGMENTS = (
    "1110111", "0010010", "1011101", "1011011", "0111010",
    "1101011", "1101111", "1010010", "1111111", "1111011",
)  # fmt: skip


# A digit on a page --------------------------------------------------------------------------------


def cut(levels):
    """To the box of what is above a half."""
    rows = np.flatnonzero((levels > 0.5).any(1))
    columns = np.flatnonzero((levels > 0.5).any(0))
    return levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def drawn(image, size, bold=0.0):
    """One MNIST image as crisp ink, cut to its box: (H, W) float32 in 0…1, long side `size`.

    `bold` is by what share of the digit's size the pen is wider on either side.
    """
    large = Image.fromarray(np.pad(image, 6)).resize((640, 640), Image.Resampling.BICUBIC)
    for _ in range(round(bold * 320 / 4)):
        large = large.filter(ImageFilter.MaxFilter(9))
    ink = cut((np.asarray(large.filter(ImageFilter.GaussianBlur(4))) > 120).astype(np.float32))
    scale = size / max(ink.shape)
    sides = [max(3, round(side * scale)) for side in ink.shape[::-1]]
    return np.asarray(Image.fromarray(ink).resize(sides, Image.Resampling.BOX))


def page(ink, margin, paper=PAPER, pen=INK):
    """Ink on a page with a margin of so many pixels, as grey levels."""
    return np.pad(ink, round(margin)) * (pen - paper) + np.float32(paper)


def plain(image, rng, margin=None):
    """The page of most cases, with a margin of a fifth to a half of the digit."""
    size = rng.integers(200, 281)
    return page(drawn(image, size), size * rng.uniform(0.2, 0.5) if margin is None else margin)


# What is around it --------------------------------------------------------------------------------


def boxed(line, inset=None):
    def case(image, rng):
        grey = plain(image, rng, margin=rng.uniform(50, 90))
        height, width = grey.shape
        away = rng.integers(4, 30) if inset is None else inset
        canvas = Image.fromarray(grey)
        corners = (away, away, width - 1 - away, height - 1 - away)
        ImageDraw.Draw(canvas).rectangle(corners, outline=INK, width=line)
        return np.asarray(canvas)

    return case


def cell_corner(image, rng):
    grey = plain(image, rng, margin=60).copy()
    line, at = rng.integers(2, 9), rng.integers(0, 20)
    grey[at : at + line] = INK
    grey[:, at : at + line] = INK
    return grey


def axes(image, rng):
    """A plot: a frame with ticks and their labels on a white page."""
    grey = np.pad(plain(image, rng, margin=60), ((30, 60), (70, 30)), constant_values=255)
    canvas = Image.fromarray(grey)
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = 70, 30, grey.shape[1] - 31, grey.shape[0] - 61
    draw.rectangle((left, top, right, bottom), outline=0, width=2)
    for tick in range(6):
        x, y = left + (right - left) * tick // 6, top + (bottom - top) * tick // 6
        draw.line((x, bottom, x, bottom + 7), fill=0, width=2)
        draw.line((left - 7, y, left, y), fill=0, width=2)
        draw.text((x - 5, bottom + 12), str(5 * tick), fill=0)
        draw.text((left - 24, y - 6), str(5 * tick), fill=0)
    return np.asarray(canvas)


def on_desk(level, share):
    def case(image, rng):
        sheet = page(drawn(image, 150), 37)
        side = round(225 / share)
        desk = np.full((side, side), np.float32(level))
        top = rng.integers(5, max(side - sheet.shape[0] - 4, 6))
        left = rng.integers(5, max(side - sheet.shape[1] - 4, 6))
        desk[top : top + sheet.shape[0], left : left + sheet.shape[1]] = sheet
        return desk + rng.normal(0, 2, desk.shape)

    return case


def padded_round(image, rng):
    grey = plain(image, rng, margin=rng.uniform(15, 60))
    return np.pad(grey, rng.integers(10, 80))


def padded_square(image, rng):
    grey = plain(image, rng, margin=rng.uniform(15, 60))
    missing = max(grey.shape) + 20 - np.array(grey.shape)
    return np.pad(grey, [(lack // 2, lack - lack // 2) for lack in missing])


def patch(image, rng):
    """A grey crop pasted on a white square."""
    sheet = page(drawn(image, 200), rng.uniform(20, 50), paper=rng.integers(140, 200))
    return np.pad(sheet, rng.integers(30, 120), constant_values=255)


def dark_square(image, rng):
    """A black plot with a light digit on a white page."""
    sheet = page(drawn(image, 200), rng.uniform(20, 50), paper=0, pen=255)
    return np.pad(sheet, rng.integers(20, 80), constant_values=255)


def tight(margin, bold=0.0):
    def case(image, rng):
        size = rng.integers(200, 281)
        return page(drawn(image, size, bold), margin * size)

    return case


# What goes through it -----------------------------------------------------------------------------


def lined(every, line, level, across=False):
    """Lines every so many pixels; of two things that cover a point, the darker shows."""

    def case(image, rng):
        grey = plain(image, rng).copy()
        keep = np.maximum if level > PAPER else np.minimum
        for axis in range(1 + across):
            lines = (np.arange(grey.shape[axis]) + rng.integers(every)) % every < line
            along = grey.T if axis else grey
            along[lines] = keep(along[lines], np.float32(level))
        return grey

    return case


def underlined(image, rng):
    grey = plain(image, rng, margin=70).copy()
    below = grey.shape[0] - 70 + rng.integers(6, 25)
    grey[below : below + rng.integers(3, 10), 50:-50] = INK
    return grey


# More than one, and other hands -------------------------------------------------------------------


def beside(gap):
    """Two digits, as near one another as `gap` of their size."""

    def case(image, rng):
        size = rng.integers(200, 281)
        first, second = (drawn(one, size) for one in image)
        height = max(len(first), len(second))
        first, second = (np.pad(ink, ((0, height - len(ink)), (0, 0))) for ink in (first, second))
        ends = [max(np.flatnonzero(row > 0.5), default=-size) for row in first]
        starts = [min(np.flatnonzero(row > 0.5), default=size) for row in second]
        reach = round(gap * size)
        nearest = min(
            min(starts[max(y - reach, 0) : y + reach + 1]) - ends[y] for y in range(height)
        )
        shift = max(reach - nearest, 0)
        both = np.zeros((height, max(first.shape[1], shift + second.shape[1])), np.float32)
        both[:, : first.shape[1]] = first
        both[:, shift : shift + second.shape[1]] += second
        return page(np.clip(both, 0, 1), 60)

    return case


def seven_segment(gap):
    """A digit of a display, its segments apart by `gap` pixels of 220."""
    side, pen, margin = 98, 24, 60

    def case(label, rng):
        canvas = Image.new("L", (side + pen + 2 * margin, 2 * side + pen + 2 * margin), PAPER)
        draw = ImageDraw.Draw(canvas)
        origin = margin + pen // 2
        lying = [(0, side * row) for row in range(3)]
        upright = [(side * column, side * row) for row in range(2) for column in range(2)]
        top, (high_left, high_right, low_left, low_right), middle, bottom = (
            lying[0], upright, lying[1], lying[2],
        )  # fmt: skip
        places = [top, high_left, high_right, middle, low_left, low_right, bottom]
        for number, (lit, (x, y)) in enumerate(zip(SEGMENTS[label], places, strict=True)):
            if lit == "1":
                long, wide = (side - gap) / 2, pen / 2 - 1
                dx, dy = (side / 2, 0) if number in (0, 3, 6) else (0, side / 2)
                a, b = (long, wide) if dx else (wide, long)
                x, y = x + dx + origin, y + dy + origin
                draw.rectangle((x - a, y - b, x + a, y + b), fill=INK)
        return np.asarray(canvas)

    return case


def turned(angle):
    def case(image, rng):
        return np.asarray(Image.fromarray(plain(image, rng, 60)).rotate(angle, fillcolor=PAPER))

    return case


def red_on_green(image, rng):
    """Ink and paper of the same grey: (H, W, 3)."""
    ink = page(drawn(image, 240), 60, paper=0, pen=1)[..., None]
    return (1 - ink) * np.float32((60, 160, 60)) + ink * np.float32((220, 80, 58))


CASES = {
    "plain": plain,
    **{f"box-{line}": boxed(line) for line in (2, 4, 8)},
    "box-flush": boxed(5, inset=0),
    "cell-corner": cell_corner,
    "axes": axes,
    **{f"desk-half-{level}": on_desk(level, 0.5) for level in (40, 90, 140, 190)},
    **{f"desk-most-{level}": on_desk(level, 0.75) for level in (40, 90, 140, 190)},
    "padded-round": padded_round,
    "padded-square": padded_square,
    "patch": patch,
    "dark-square": dark_square,
    **{f"tight-{share}": tight(share / 100) for share in (0, 2, 5, 10)},
    **{f"tight-bold-{share}": tight(share / 100, bold=0.05) for share in (0, 2, 5, 10)},
    **{f"white-grid-{every}": lined(every, 1, 255, across=True) for every in (53, 30)},
    **{
        f"{name}-{line}-{level}": lined(40, line, level, across=name == "graph")
        for name, line, level in (
            ("ruled", 2, 140), ("ruled", 2, 100), ("ruled", 4, 140),
            ("graph", 2, 180), ("graph", 2, 140), ("graph", 2, 100), ("graph", 3, 140),
        )
    },
    "underlined": underlined,
    **{f"pair-{share}": beside(share / 100) for share in (10, 20, 40)},
    **{f"seven-segment-{gap}": seven_segment(gap) for gap in (4, 8, 12)},
    **{f"turned-{angle}": turned(angle) for angle in (45, 90, 180)},
    "red-on-green": red_on_green,
}  # fmt: skip


def pictures(name, images, labels, count):
    """`count` pictures of one case, (H, W) or (H, W, 3) uint8, with what they show."""
    chosen = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(images))
    for index in range(count):
        rng = np.random.default_rng([zlib.crc32(name.encode()), index])
        one, other = chosen[[index, -1 - index]]
        label = int(labels[one])
        if name.startswith("pair"):
            subject = images[[one, other]]
        else:
            subject = label if name.startswith("seven") else images[one]
        picture = CASES[name](subject, rng)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8), label


def small_digits(side):
    """The test part of scikit-learn's digits as pictures of so many pixels."""
    from sklearn import datasets

    from lenet.data.datasets import load_dataset
    from lenet.data.digits import enlarge

    small = datasets.load_digits()
    place_of = {ink.tobytes(): place for place, ink in enumerate(enlarge(small.images))}
    for ink in load_dataset("digits").test.images:
        place = place_of[ink.tobytes()]
        image = Image.fromarray(np.uint8(255 - np.rint(small.images[place] * 255 / 16)))
        picture = image.resize((side, side), Image.Resampling.BICUBIC)
        yield np.asarray(picture), int(small.target[place])


def examine(classifier, shown):
    """How many are read right, carry a doubt, or are wrong and carry none."""
    n = right = doubted = silent = sure = 0
    for picture, label in shown:
        answer = classifier.predict(picture)
        doubt = any(doubt.name != "inverted" for doubt in answer.doubts)
        wrong = answer.label != str(label)
        n, right, doubted = n + 1, right + (not wrong), doubted + doubt
        silent += wrong and not doubt
        sure += wrong and not doubt and answer.probability > SURE
    return {"n": n, "n_right": right, "n_doubted": doubted, "n_silent": silent, "n_sure": sure}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=120, help="pictures of each case")
    parser.add_argument("--cases", default="", help="only those that begin so")
    parser.add_argument("--weights", default="mnist")
    parser.add_argument("--json", action="store_true", help="store results/stress.json")
    parser.add_argument("--save", type=Path, help="write the pictures here and stop")
    arguments = parser.parse_args()

    from lenet.classifier import Classifier
    from lenet.data.datasets import load_dataset
    from lenet.machine import describe_machine, list_versions

    test = load_dataset("mnist").test
    names = [name for name in CASES if name.startswith(arguments.cases)]
    shown = {name: pictures(name, test.images, test.labels, arguments.count) for name in names}
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
        for name, some in shown.items():
            for number, (picture, label) in enumerate(some):
                Image.fromarray(picture).save(arguments.save / f"{name}-{number:03d}-{label}.png")
        return
    classifiers = dict.fromkeys(names, Classifier.load(arguments.weights))
    for side in (8, 400):
        if (name := f"digits-{side}").startswith(arguments.cases):
            shown[name], classifiers[name] = small_digits(side), Classifier.load("digits")
    print(f"{'case':18} {'n':>4} {'right':>6} {'doubted':>8} {'silent':>7} {'sure':>5}")
    table = {}
    for name, some in shown.items():
        table[name] = row = examine(classifiers[name], some)
        counts = f"{row['n']:4} {row['n_right']:6} {row['n_doubted']:8} {row['n_silent']:7}"
        print(f"{name:18} {counts} {row['n_sure']:5}  {row['n_right'] / row['n']:.1%}")
    if arguments.json:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "machine": describe_machine(),
            "versions": list_versions(),
            "weights": arguments.weights,
            "cases": table,
        }
        path = Path(__file__).parents[1] / "results" / "stress.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
