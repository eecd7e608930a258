"""How long a fresh process takes to answer. Writes `results/cold-starts.json`.

Example: `python experiments/cold_starts.py --before ../old/src`, where `../old` is an earlier
commit. Each command runs in processes of its own, the versions by turns; a busy machine lengthens
the wall time of all of them, so the smallest and the CPU time are kept too.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lenet.checkpoints import load_checkpoint
from lenet.data.preprocessing import INK_SIZE
from lenet.engines import select_engine, select_scorer
from lenet.files import write_atomic
from lenet.machine import describe_machine, list_versions

ROOT = Path(__file__).resolve().parent.parent
LOADING = "from lenet import Classifier; Classifier.load('mnist').predict('seven.png')"
COMMANDS = {
    "lenet predict seven.png": ["-m", "lenet", "predict", "seven.png"],
    "lenet predict seven.png --explain why.png": [
        *("-m", "lenet", "predict", "seven.png", "--explain", "why.png")
    ],
    "lenet models": ["-m", "lenet", "models"],
    "lenet summary": ["-m", "lenet", "summary"],
    "lenet data list": ["-m", "lenet", "data", "list"],
    "lenet predict nowhere.png": ["-m", "lenet", "predict", "nowhere.png"],
    "lenet predict seven.png --engine x": ["-m", "lenet", "predict", "seven.png", "--engine", "x"],
    "Classifier.load(…).predict(…)": ["-c", LOADING],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="the src folder of an earlier commit")
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    sources = {"now": ROOT / "src"}
    if arguments.before:
        sources = {"before": arguments.before.resolve(), **sources}
    load = os.getloadavg()[0]
    result = {
        "what": "seconds of a fresh process, and where the fused engine overtakes NumPy",
        "command": f"python experiments/cold_starts.py --runs {arguments.runs}",
        "machine": describe_machine(),
        "versions": list_versions(),
        "commands": measure_commands(sources, arguments.runs),
        "crossing": measure_crossing(),
    }
    result["load"] = [round(value, 1) for value in (load, os.getloadavg()[0])]
    text = json.dumps(result, indent=1, ensure_ascii=False)
    write_atomic(ROOT / "results" / "cold-starts.json", f"{text}\n".encode())
    print(text)


def measure_commands(sources: dict[str, Path], runs: int) -> dict[str, dict[str, dict]]:
    """Wall and CPU seconds of each command with each version of the source."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {
        command: {name: [] for name in sources} for command in COMMANDS
    }
    with tempfile.TemporaryDirectory() as folder:
        seven = Image.new("RGB", (300, 400), (230, 225, 200))
        ImageDraw.Draw(seven).line([(80, 100), (210, 100), (130, 300)], (20, 20, 90), width=16)
        seven.save(Path(folder, "seven.png"))
        for run in range(runs + 1):
            for command, line in COMMANDS.items():
                for name, source in sources.items():
                    seconds = one_process(line, source, folder)
                    if run:  # the first fills the caches
                        found[command][name].append(seconds)
    return {
        command: {name: summary(values) for name, values in by_name.items()}
        for command, by_name in found.items()
    }


def one_process(line: list[str], source: Path, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of one fresh Python."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LENET_DATA") if name in os.environ}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *line], cwd=folder, capture_output=True, check=False,
        env={**kept, "PYTHONPATH": str(source)},
    )  # fmt: skip
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def summary(values: list[tuple[float, float]]) -> dict[str, float]:
    walls, cpus = zip(*values, strict=True)
    return {
        "median_seconds": round(statistics.median(walls), 3),
        "least_seconds": round(min(walls), 3),
        "median_cpu_seconds": round(statistics.median(cpus), 3),
    }


def measure_crossing() -> dict[str, float]:
    """How many images pay for loading torch and compiling the fused engine, here and now."""
    checkpoint = load_checkpoint("mnist")
    ink = np.random.default_rng(0).integers(0, 256, (8192, INK_SIZE, INK_SIZE), np.uint8)

    def image_seconds(engine, module) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            engine.scores(module, ink, checkpoint.preprocessing)
            times.append(time.perf_counter() - started)
        return min(times) / len(ink)

    scorer = select_scorer("numpy")
    in_numpy = image_seconds(scorer, scorer.load(checkpoint.model))
    started = time.perf_counter()
    fused = select_engine("fused", "cpu")
    module = fused.load(checkpoint.model)
    fused.scores(module, ink[:1], checkpoint.preprocessing)
    first = time.perf_counter() - started
    in_fused = image_seconds(fused, module)
    return {
        "numpy_microseconds_an_image": round(in_numpy * 1e6, 1),
        "fused_microseconds_an_image": round(in_fused * 1e6, 1),
        "fused_first_score_seconds": round(first, 2),
        "crossing_images": round(first / (in_numpy - in_fused)),
    }


if __name__ == "__main__":
    main()
