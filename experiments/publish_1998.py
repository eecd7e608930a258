"""From finished runs of `lenet reproduce` to results/1998, docs/images and the pretrained weights.

Example: `python experiments/publish_1998.py`, after `lenet reproduce`, the same with
`--distortions`, `--subset 15000` and `--subset 30000`, and `python experiments/choices_1998.py`.
The pretrained weights are those of the seed with the median test error, trained without
distortions, and of the seed with the smallest validation error, trained with them.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from choices_1998 import CHOICES, DISTORTED

import lenet
from lenet.checkpoints import Checkpoint, describe_origin, load_checkpoint, save_checkpoint
from lenet.data.preprocessing import PAPER_1998
from lenet.files import write_atomic
from lenet.reproduction import Results, read_results
from lenet.reproduction.scores import error_rates, make_scorers
from lenet.reproduction.state import load_state

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "src" / "lenet" / "weights"
LIMITS = (
    "One handwritten digit 0-9 in the middle of the picture. The penalty of the nearest code, "
    "which `lenet predict --explain` shows, tells what is no digit better than the probability."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "1998")
    parser.add_argument("--choices", type=Path, default=ROOT / "runs" / "choices-1998")
    arguments = parser.parse_args()
    results, images = ROOT / "results" / "1998", ROOT / "docs" / "images"
    results.mkdir(exist_ok=True)
    for name in read_results(arguments.folder):
        shutil.copyfile(arguments.folder / f"{name}.json", results / f"{name}.json")
    for figure in (
        "figure-5-passes",
        "figure-6-sizes",
        "figure-8-mistakes-distorted",
        "figure-10-rejection",
    ):
        shutil.copyfile(arguments.folder / f"{figure}.png", images / f"1998-{figure}.png")
    plain(arguments.folder, read_results(results)["plain"])
    distorted(arguments.choices / f"{DISTORTED}.safetensors")


def plain(folder: Path, results: Results) -> None:
    """The median seed of those that the error bars are made of."""
    seed = results.median_seed
    checkpoint = load_checkpoint(folder / f"plain-seed-{seed}.safetensors")
    spread = results.test_error_percent
    put(
        "lecun1998",
        checkpoint,
        card={
            "recipe": "paper: lenet reproduce",
            "seed": seed,
            "chosen": "the seed with the median test error",
            "test_accuracy": 1 - spread.values[seed] / 100,
            "test_accuracy_over_seeds": {
                "mean": 1 - spread.mean / 100,
                "sd": spread.sd / 100,
                "n": results.seeds,
            },
            "images": {"train": results.patterns, "validation": 0, "test": 10_000},
            "source": "results/1998/plain.json",
        },
    )


def distorted(path: Path) -> None:
    """The seed with the fewest errors on the images held out; only then the test part is read."""
    splits = lenet.load_dataset("mnist")
    state = load_state(path, CHOICES[DISTORTED], splits.sha256)
    seed = int(np.argmin(state.test_error[-1]))  # what was measured there is the validation part
    network = state.networks[seed]
    (wrong,) = error_rates(make_scorers([network]), splits.test)
    metrics = {
        "validation_accuracy": 1 - float(state.test_error[-1, seed]),
        "test_accuracy": 1 - float(wrong),
    }
    origin = describe_origin(splits, seed=seed, metrics=metrics)
    put(
        "lecun1998-distorted",
        Checkpoint(network, PAPER_1998, splits.class_names, origin),
        card={
            "recipe": "paper, with distortions: python experiments/choices_1998.py",
            "seed": seed,
            "chosen": f"the smallest validation error of {len(state.networks)} seeds",
            **metrics,
            "images": {name: len(splits.part(name)) for name in ("train", "validation", "test")},
            "source": "results/choices-1998.json",
        },
    )


def put(name: str, checkpoint: Checkpoint, card: dict[str, Any]) -> None:
    """Weights and card into the package."""
    save_checkpoint(WEIGHTS / f"{name}.safetensors", checkpoint)
    data = checkpoint.metadata["data"]
    card = {
        "name": name,
        "network": "lecun1998",
        "data": {**data, "images": card.pop("images")},
        **card,
        "parameters": sum(p.numel() for p in checkpoint.network.parameters()),
        "class_names": list(checkpoint.class_names),
        "limits": LIMITS,
    }
    text = json.dumps(card, indent=1, ensure_ascii=False)
    write_atomic(WEIGHTS / f"{name}.json", f"{text}\n".encode())
    print(f"{name}: {card['chosen']}, test accuracy {card['test_accuracy']:.4f}")


if __name__ == "__main__":
    main()
