"""Kills real trainings at random moments, resumes them, and compares the final weight files.

python tests/runs/kill_and_resume.py --kills 50

trains once without interruption, then kills with SIGKILL and resumes as often as asked for, and
writes results/kill-resume.json. When a run is through before its kills are, another one begins.
"""

import argparse
import dataclasses
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARK = "training"
RESULTS = Path(__file__).resolve().parents[2] / "results" / "kill-resume.json"


def child(out: Path, engine: str, epochs: int) -> None:
    """Begin a run in `out`, or resume the one that is there, to its end."""
    from lenet.engines import select_engine
    from lenet.runs import create_run, finish_run, open_run
    from lenet.training.recipes import RECIPES

    begun = list(out.glob("*/run.json"))  # a folder without one was killed before it was a run
    if begun:
        run = open_run(begun[0].parent)
    else:
        recipe = dataclasses.replace(RECIPES["digit-small"], epochs=epochs, batch_size=64)
        run = create_run("digits", "modern", recipe, out=out, engine=select_engine(engine))
    print(MARK, flush=True)
    finish_run(run)


def start(out: Path, engine: str, epochs: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", str(out), "--engine", engine]
    command += ["--epochs", str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], moment: float) -> bool:
    """Kill after `moment` seconds, unless the process has ended by itself."""
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        return True
    return False


def require_success(process: subprocess.Popen[str]) -> None:
    if process.returncode != 0:
        raise SystemExit(f"the training failed with exit code {process.returncode}")


def weights(out: Path) -> str:
    """SHA-256 of the weight file of the finished run in `out`."""
    (model,) = out.glob("*/model.safetensors")
    return hashlib.sha256(model.read_bytes()).hexdigest()


def kill_and_resume(kills: int, engine: str, epochs: int, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    epochs_at_kill: list[int] = []
    hashes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference"
        reference.mkdir()
        began = time.perf_counter()
        with start(reference, engine, epochs) as process:
            process.stdout.readline()
            setup = time.perf_counter() - began
        training = time.perf_counter() - began - setup
        require_success(process)
        expected = weights(reference)

        while len(epochs_at_kill) < kills or not hashes:
            out = Path(folder) / f"killed-{len(hashes)}"
            out.mkdir()
            over = False
            while not over:
                with start(out, engine, epochs) as process:
                    over = len(epochs_at_kill) == kills
                    if not over:
                        # Mostly in training or in a write; sometimes while it is still starting.
                        in_training = rng.random() < 0.8
                        moment = rng.uniform(0, training / 6 if in_training else setup)
                        if in_training:
                            process.stdout.readline()
                        over = not killed(process, moment)
                    process.wait()  # before its pipe is closed
                if over:
                    require_success(process)
                else:
                    lines = [file.read_text().count("\n") for file in out.glob("*/history.csv")]
                    epochs_at_kill.append(max(lines, default=1) - 1)
            hashes.append(weights(out))
    return {
        "engine": engine,
        "epochs": epochs,
        "kills": len(epochs_at_kill),
        "epochs_done_at_each_kill": epochs_at_kill,
        "runs": len(hashes),
        "sha256_uninterrupted": expected,
        "sha256_after_kills": sorted(set(hashes)),
        "equal": set(hashes) == {expected},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--engine", default="auto", choices=("auto", "fused", "torch"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child, options.engine, options.epochs)
        return 0
    result = kill_and_resume(options.kills, options.engine, options.epochs, options.seed)
    command = f"python tests/runs/kill_and_resume.py --kills {options.kills}"
    for name in ("epochs", "engine", "seed"):
        if getattr(options, name) != parser.get_default(name):
            command += f" --{name} {getattr(options, name)}"
    RESULTS.write_text(json.dumps({"command": command, **result}, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if result["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
