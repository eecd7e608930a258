"""A finished run's weights measured on every part that has images."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lenet.data.splits import PARTS
from lenet.evaluation import Evaluation, evaluate
from lenet.runs.run import Run


def measured(run: Run) -> Run:
    """The run with its network's scores compared with the truth, the test part last."""
    module = run.engine.compile(run.network)
    parts = {name: part for name in PARTS if len(part := run.splits.part(name))}
    scores = {
        name: run.engine.scores(module, part.images, run.preprocessing)
        for name, part in parts.items()
    }
    run.network.cpu()
    evaluation = {
        name: evaluate(scores[name], part.labels, run.splits.class_names)
        for name, part in parts.items()
    }
    return dataclasses.replace(run, evaluation=evaluation, test_scores=scores["test"])


def list_metrics(evaluation: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The counts of every part, and the fractions that are made of them."""
    found = {name: evaluation.get(name) for name in PARTS}
    metrics: dict[str, Any] = {f"{name}_accuracy": e and e.accuracy for name, e in found.items()}
    for name, e in found.items():
        metrics |= {
            f"{name}_interval": list(e.interval) if e else None,
            f"{name}_errors": e.n_errors if e else 0,
            f"{name}_images": e.n_images if e else 0,
        }
    return metrics
