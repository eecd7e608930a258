"""Fit how far to believe the published weights, store it in them, and measure what it is worth.

`python experiments/trust.py` writes `results/trust.json` and each weight file anew; given names,
only theirs. Letters come from the fonts that `fc-list` knows here, garments are Fashion-MNIST's
prepared as pictures: nothing of that is learnt from. The test part is read after everything is
fitted.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import lenet
from lenet.checkpoints import pretrained_weights, save_checkpoint
from lenet.data.drawn.strangers import draw_scribbles
from lenet.data.ink import to_ink
from lenet.engines.in_numpy import NumpyNetwork, layers_of
from lenet.evaluation import calibrate, softmax
from lenet.files import write_atomic
from lenet.machine import describe_machine, list_versions
from lenet.trust import FEATURE_LAYERS, errors_by_rejection, features_of, learn_trust

ROOT = Path(__file__).resolve().parent.parent
LETTERS = "ACDEFGHJKLMNPQRTUVWXYadefhkmnprtuvwxy"
"""Without those that look like digits: O, I, l, S, Z, B, b, g, q and their like."""

N_GARMENTS, N_OTHERS = 1000, 2000

Ink = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*pretrained_weights()])
    arguments = parser.parse_args()
    fonts = readable_fonts()
    target = ROOT / "results" / "trust.json"
    rows = json.loads(target.read_text("utf-8"))["weights"] if target.exists() else {}
    for name in arguments.names:
        checkpoint = lenet.load_checkpoint(name)
        splits = lenet.load_dataset(checkpoint.metadata["data"]["name"])
        trust = learn_trust(checkpoint.model, checkpoint.preprocessing, splits)
        if not pretrained_weights()[name]["data"]["images"]["validation"]:
            # Nothing was held out of their training: no curve of theirs would be true of others.
            trust = dataclasses.replace(trust, rejection=trust.rejection[:0])
        checkpoint.trust = trust
        save_checkpoint(ROOT / "src" / "lenet" / "weights" / f"{name}.safetensors", checkpoint)
        rows[name] = measure(checkpoint, splits, strangers(splits, fonts))
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    result = {
        "what": "how far to believe the published weights",
        "command": "python experiments/trust.py",
        "machine": describe_machine(),
        "versions": list_versions(),
        "fonts": sorted({font.stem for font in fonts}),
        "letters": LETTERS,
        "weights": rows,
    }
    write_atomic(target, (json.dumps(result, indent=1) + "\n").encode())


def measure(
    checkpoint: lenet.Checkpoint, splits: lenet.Splits, others: dict[str, Ink]
) -> dict[str, Any]:
    trust, test = checkpoint.trust, splits.test
    assert trust is not None
    network = NumpyNetwork(checkpoint.model)

    def ask(ink: Ink, *names: str) -> dict[str, NDArray[np.float32]]:
        return layers_of(network, ink, checkpoint.preprocessing, names)

    layers = ask(test.images, *FEATURE_LAYERS, "output")
    scores = layers["output"]
    right = scores.argmax(1) == test.labels
    probabilities = softmax(trust.cool(scores))
    known = trust.known(features_of(layers))
    strange = {k: trust.known(features_of(ask(v, *FEATURE_LAYERS))) for k, v in others.items()}
    unknown, unsure = known < trust.least_known, probabilities.max(1) < trust.least_probability
    errors = errors_by_rejection(trust.confidence(probabilities, known), right)
    return {
        **{key: round(value, 4) for key, value in trust.to_dict().items()},
        "calibration_error": {
            "before": round(calibrate(softmax(scores).max(1), right).error, 5),
            "after": round(calibrate(probabilities.max(1), right).error, 5),
        },
        "right_but_unknown": round(float(unknown[right].mean()), 5),
        "right_but_unsure": round(float(unsure[right].mean()), 5),
        "n_wrong": int((~right).sum()),
        "n_wrong_without_a_doubt": int((~right & ~unknown & ~unsure).sum()),
        "errors_by_rejection": [[share, round(error, 5)] for share, error in errors],
        "auroc": {k: round(auroc(known, v), 4) for k, v in strange.items()},
        "doubted": {k: round(float((v < trust.least_known).mean()), 4) for k, v in strange.items()},
    }


def strangers(splits: lenet.Splits, fonts: list[Path]) -> dict[str, Ink]:
    """What no image of the data set is: (N, 28, 28) each."""
    rng = np.random.default_rng(5)
    letters = np.array([print_letter(c, f, splits.preparation) for f in fonts for c in LETTERS])
    noise = rng.integers(0, 256, (N_OTHERS, 28, 28)).astype(np.uint8)
    density = rng.uniform(0.05, 0.5, (N_OTHERS // 2, 1, 1))
    noise[::2] = 255 * (rng.random((N_OTHERS // 2, 28, 28)) < density)
    levels = rng.integers(0, 256, (N_OTHERS, 1, 1))
    empty = np.clip(levels + rng.normal(0, 3, (N_OTHERS, 28, 28)), 0, 255).astype(np.uint8)
    found = {
        "letters": letters,
        "noise": noise,
        "empty": empty,
        "scribbles": draw_scribbles(N_OTHERS, rng),
    }
    if splits.preparation == "garment":
        return found | {"mnist": lenet.load_dataset("mnist").test.images[:N_OTHERS]}
    garments = lenet.load_dataset("fashion-mnist").test.images[:N_GARMENTS]
    large = 255 - garments.repeat(5, axis=1).repeat(5, axis=2)
    pictures = np.array([to_ink(grey, splits.preparation).ink for grey in large])
    return found | {"garments": pictures, "garments, raw": garments}


def print_letter(letter: str, font: Path, preparation: Any) -> Ink:
    picture = Image.new("L", (160, 160), 255)
    ImageDraw.Draw(picture).text((40, 20), letter, font=ImageFont.truetype(font, 90), fill=0)
    return to_ink(np.array(picture), preparation).ink


def readable_fonts() -> list[Path]:
    """The fonts here that have a different picture for each letter."""
    listed = subprocess.run(["fc-list", ":", "file"], capture_output=True, text=True, check=True)
    paths = sorted({Path(line.rstrip(": ")) for line in listed.stdout.splitlines()})
    fonts = []
    for path in paths:
        printed = {print_letter(c, path, "digit").tobytes() for c in LETTERS[:10]}
        if len(printed) == 10:
            fonts.append(path)
    return fonts


def auroc(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """The probability that a known one is more known than a stranger; ties count half."""
    values, counts = np.unique(np.concatenate([known, strange]), return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    total = ranks[np.searchsorted(values, known)].sum()
    n = len(known)
    return float((total - n * (n + 1) / 2) / (n * len(strange)))


if __name__ == "__main__":
    main()
