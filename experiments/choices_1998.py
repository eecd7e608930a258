"""What the paper leaves open, chosen on 5,000 training images held out; the test part is not read.

Example: `python experiments/choices_1998.py "j = 30" "subsampling added"` trains eight seeds with
each choice, the rest as the defaults are, and adds their validation errors to
`results/choices-1998.json`. Without arguments it runs every choice that the file does not have.
Most choices are compared over a short schedule, the distortions over the printed one.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lenet
from lenet.data.distortions import Distortions
from lenet.files import write_atomic
from lenet.reproduction import DISTORTIONS, Experiment, ExperimentProgress
from lenet.reproduction.passes import train_passes
from lenet.reproduction.results import percent
from lenet.threads import thread_count

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "results" / "choices-1998.json"

# Each printed rate once, the first twice: a second pass shows whether the rates are too large.
SHORT = (5e-4, 5e-4, 2e-4, 1e-4, 5e-5, 1e-5)
DEFAULT = Experiment(seeds=8, passes=len(SHORT), learning_rates=SHORT)
LONG = Experiment(seeds=8)
DISTORTED = "distorted: the default"
CHOICES = {
    "the default": DEFAULT,
    "μ = 0.02, as printed": replace(DEFAULT, mu=0.02),
    "μ = 0.1": replace(DEFAULT, mu=0.1),
    "μ = 1": replace(DEFAULT, mu=1.0),
    "j = 1": replace(DEFAULT, rubbish_penalty=1.0),
    "j = 30": replace(DEFAULT, rubbish_penalty=30.0),
    "no j: Eq. (8)": replace(DEFAULT, rubbish_penalty=None),
    "subsampling added": replace(DEFAULT, subsampling="added"),
    "start ±2.4/F, as printed": replace(DEFAULT, initialization="fan-in"),
    "20 passes": LONG,
    DISTORTED: replace(LONG, distortions=DISTORTIONS),
    "distorted: half as far": replace(
        LONG, distortions=Distortions(shift=0.75, scale=0.05, squeeze=0.05, shear=0.075)
    ),
    "distorted: twice as far": replace(
        LONG, distortions=Distortions(shift=3.0, scale=0.2, squeeze=0.2, shear=0.3)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("choices", nargs="*", metavar="CHOICE", help=", ".join(CHOICES))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "choices-1998")
    arguments = parser.parse_args()
    stored: dict[str, Any] = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    splits = lenet.load_dataset("mnist")
    for name in arguments.choices or [name for name in CHOICES if name not in stored]:
        experiment = CHOICES[name]
        path = arguments.folder / f"{name}.safetensors"
        state = train_passes(experiment, splits.train, splits.validation, splits.sha256, path, say)
        validation = [percent(rates) for rates in state.test_error]
        training = [percent(rates) for rates in state.train_error]
        stored = json.loads(TARGET.read_text()) if TARGET.exists() else {}
        stored[name] = {
            "command": f"python experiments/choices_1998.py {name!r}",
            "experiment": asdict(experiment),
            "images": {"train": len(splits.train), "validation": len(splits.validation)},
            "threads": thread_count(),
            "seconds": round(state.seconds, 1),
            "effective_learning_rates": state.rates.tolist(),
            "validation_error_percent": [spread.to_dict() for spread in validation],
            "train_error_percent_on_the_fly": [spread.to_dict() for spread in training],
        }
        write_atomic(TARGET, (json.dumps(in_order(stored), indent=1) + "\n").encode())
        print(f"{name}: {validation[-1].mean:.3f} ± {validation[-1].sd:.3f} %", flush=True)


def in_order(stored: dict[str, Any]) -> dict[str, Any]:
    """As in `CHOICES`, whatever was run first."""
    return {name: stored[name] for name in [*CHOICES, *stored] if name in stored}


def say(progress: ExperimentProgress) -> None:
    if progress.measured and progress.stage.startswith("curvature") and progress.share == 0:
        print(
            f"pass {progress.measured}: training {100 * progress.train_error:.2f} %, "
            f"validation {100 * progress.test_error:.2f} %",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
