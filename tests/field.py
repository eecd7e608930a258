"""How well weights read a folder of real pictures, and what their doubts are worth.

The folder holds the pictures and ``labels.csv`` with the columns ``file``, ``label`` and ``kind``.

Run ``python tests/field.py FOLDER``; ``--json NAME`` stores ``results/NAME.json``.
"""

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

from lenet.classifier import Classifier
from lenet.machine import describe_machine, list_versions

SURE = 0.9


def read_labels(folder):
    """The rows of labels.csv."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answers(classifier, folder, rows):
    """Each row with what the classifier says of its picture."""
    predictions = classifier.stream(folder / row["file"] for row in rows)
    for row, prediction in zip(rows, predictions, strict=True):
        if isinstance(prediction, Exception):
            raise prediction
        yield {
            "file": row["file"],
            "kind": row["kind"],
            "label": row["label"],
            "read": prediction.label,
            "probability": round(prediction.probability, 4),
            "doubts": sorted(doubt.name for doubt in prediction.doubts),
        }


def is_right(answer):
    return answer["read"] == answer["label"]


def by_kind(read):
    """How many pictures of each kind there are, how many are read right, wrong, and in silence."""
    kinds = {}
    for answer in read:
        kind = kinds.setdefault(answer["kind"], {"n": 0, "n_right": 0, "n_silent": 0})
        kind["n"] += 1
        kind["n_right"] += is_right(answer)
        kind["n_silent"] += not is_right(answer) and not answer["doubts"]
    return dict(sorted(kinds.items()))


def by_doubt(read):
    """On how many answers each doubt stands; its precision is the share of wrong ones."""
    wrong, right = Counter(), Counter()
    for answer in read:
        (right if is_right(answer) else wrong).update(answer["doubts"])
    return {
        name: {
            "n_wrong": wrong[name],
            "n_right": right[name],
            "precision": round(wrong[name] / (wrong[name] + right[name]), 3),
        }
        for name in sorted(wrong | right)
    }


def summary(read):
    """All that is counted over the answers."""
    wrong = [answer for answer in read if not is_right(answer)]
    silent = [answer for answer in wrong if not answer["doubts"]]
    right = [answer for answer in read if is_right(answer)]
    return {
        "n": len(read),
        "n_right": len(right),
        "accuracy": round(len(right) / len(read), 4),
        "n_right_doubted": sum(bool(answer["doubts"]) for answer in right),
        "n_silent": len(silent),
        "n_silent_and_sure": sum(answer["probability"] > SURE for answer in silent),
        "kinds": by_kind(read),
        "doubts": by_doubt(read),
    }


def text_of(result, wrong):
    """The summary as a table, and the wrong answers one by one."""
    lines = [f"{'kind':14} {'n':>5} {'right':>6} {'silent':>7}"]
    kinds = {**result["kinds"], "all": result}
    lines += [
        f"{name:14} {kind['n']:5} {kind['n_right']:6} {kind['n_silent']:7}"
        f"  {kind['n_right'] / kind['n']:.1%}"
        for name, kind in kinds.items()
    ]
    lines += ["", f"{'doubt':16} {'on wrong':>8} {'on right':>8} {'precision':>9}"]
    lines += [
        f"{name:16} {doubt['n_wrong']:8} {doubt['n_right']:8} {doubt['precision']:9.0%}"
        for name, doubt in result["doubts"].items()
    ]
    share = result["n_right_doubted"] / max(result["n_right"], 1)
    lines += ["", f"Right answers with a doubt: {result['n_right_doubted']} ({share:.1%}). Wrong:"]
    lines += [
        f"{answer['file']:24} {answer['label']} read as {answer['read']}"
        f" {answer['probability']:.2f}  {' '.join(answer['doubts']) or 'silent'}"
        for answer in wrong
    ]
    return "\n".join(lines)


def store(name, weights, result):
    """Write results/NAME.json with the command, the machine and the versions that made it."""
    made = {
        "command": f"python tests/field.py FOLDER --weights {weights} --json {name}",
        "machine": describe_machine(),
        "versions": list_versions(),
    }
    path = Path(__file__).parents[1] / "results" / f"{name}.json"
    path.write_text(json.dumps({**made, **result}, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="mnist")
    parser.add_argument("--json", metavar="NAME", help="store results/NAME.json")
    arguments = parser.parse_args()

    classifier = Classifier.load(arguments.weights)
    read = list(answers(classifier, arguments.folder, read_labels(arguments.folder)))
    result = {"weights": arguments.weights, **summary(read)}
    print(text_of(result, [answer for answer in read if not is_right(answer)]))
    if arguments.json:
        store(arguments.json, arguments.weights, result)


if __name__ == "__main__":
    main()
