"""Train over several seeds and store the test accuracies: the source of every accuracy we publish.

Example: `python experiments/accuracy.py --data fashion-mnist --network modern --seeds 10`
writes `results/accuracy-fashion-mnist-modern-garment.json`. With `--publish NAME` the weights of
the seed with the median validation accuracy go into the package, with their card.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import lenet
from lenet.checkpoints import describe_origin, save_checkpoint
from lenet.data.catalogue import DATASETS, DRAWN
from lenet.data.digits import load_digits
from lenet.data.splits import PARTS
from lenet.engines import Engine, select_engine
from lenet.engines.in_numpy import NumpyEngine, NumpyNetwork
from lenet.files import write_atomic
from lenet.machine import describe_machine, list_versions
from lenet.threads import thread_count
from lenet.training.recipes import default_recipe, find_recipe
from lenet.trust import learn_trust

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--network", default="modern")
    parser.add_argument("--recipe", help="default: the network's own for this data")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 … N−1")
    parser.add_argument("--engine", default="auto")
    parser.add_argument(
        "--validation",
        type=float,
        help="fraction of the training images held out; 0 trains on all of them and keeps the "
        "last epoch, with nothing left to choose",
    )
    parser.add_argument("--epochs", type=int)
    parser.add_argument(
        "--publish", metavar="NAME", help="put the median seed's weights in the package"
    )
    parser.add_argument("--validation-only", action="store_true", help="store nothing, test unread")
    arguments = parser.parse_args()

    splits = lenet.load_dataset(arguments.data, validation=arguments.validation)
    recipe = (
        find_recipe(arguments.recipe)
        if arguments.recipe
        else default_recipe(arguments.network, splits)
    )
    if arguments.epochs:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs)
    engine = select_engine(arguments.engine)
    measured = [part for part in PARTS if len(splits.part(part))]
    if arguments.validation_only:
        measured.remove("test")

    began = time.perf_counter()
    trained = []
    for seed in range(arguments.seeds):
        network = lenet.build_network(arguments.network, num_classes=len(splits.class_names))
        seeded = dataclasses.replace(recipe, seed=seed)
        trained.append(train_and_measure(network, splits, seeded, engine, measured))
        print(json.dumps(trained[-1].row), file=sys.stderr, flush=True)
    rows = [one.row for one in trained]
    spreads = {f"{p}_accuracy": spread([row[f"{p}_accuracy"] for row in rows]) for p in measured}
    if arguments.validation_only:
        print(f"validation {spreads['validation_accuracy']}")
        return

    result = {
        "what": f"test accuracy, {splits.name}, {arguments.network}, recipe {recipe.name}",
        "command": " ".join(["python experiments/accuracy.py", *sys.argv[1:]]),
        "data": {"name": splits.name, "sha256": splits.sha256, "images": sizes(splits)},
        "network": arguments.network,
        "options": network.options,
        "parameters": sum(p.numel() for p in network.parameters()),
        "recipe": {k: v for k, v in recipe.to_dict().items() if k != "seed"},
        "engine": engine.name,
        "seconds": round(time.perf_counter() - began, 1),
        "machine": describe_machine(),
        "threads": thread_count(),
        "versions": list_versions(),
        **spreads,
        "seeds": rows,
    }
    suffix = "" if engine.name == "fused" else f"-{engine.name}"
    target = f"{result_name(splits.name, arguments.network, recipe.name)}{suffix}.json"
    write_atomic(ROOT / "results" / target, (json.dumps(result, indent=1) + "\n").encode())
    print(f"{result['what']}: {result['test_accuracy']}")
    if arguments.publish:
        chosen = choose(trained)
        publish(arguments.publish, chosen, result, f"results/{target}", splits)


@dataclasses.dataclass(frozen=True)
class Trained:
    """Weights, and what is stored of their training."""

    checkpoint: lenet.Checkpoint
    row: dict[str, Any]


def train_and_measure(
    network: lenet.LeNet,
    splits: lenet.Splits,
    recipe: lenet.Recipe,
    engine: Engine,
    measured: list[str],
) -> Trained:
    preprocessing = recipe.preprocessing(splits)
    state = lenet.train(network, splits, recipe, preprocessing, engine=engine)
    row: dict[str, Any] = {
        "seed": recipe.seed,
        "epochs_run": state.epoch,
        "best_epoch": state.best_epoch,
        "seconds": round(state.history[-1].elapsed_seconds, 2),
    }
    for part in measured:
        split = splits.part(part)
        scores = engine.scores(engine.compile(network), split.images, preprocessing)
        evaluation = lenet.evaluate(scores, split.labels, splits.class_names)
        row[f"{part}_errors"] = evaluation.n_errors
        row[f"{part}_accuracy"] = evaluation.accuracy
    metrics = {k: v for k, v in row.items() if k.endswith(("accuracy", "errors", "epoch"))}
    origin = describe_origin(splits, seed=recipe.seed, metrics=metrics, recipe=recipe.to_dict())
    return Trained(lenet.Checkpoint(network, preprocessing, splits.class_names, origin), row)


def sizes(splits: lenet.Splits) -> dict[str, int]:
    return {part: len(splits.part(part)) for part in PARTS}


def spread(values: list[float]) -> dict[str, float | int]:
    """Mean and standard deviation over the seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return {"mean": statistics.mean(values), "sd": deviation, "n": len(values)}


def choose(trained: list[Trained]) -> Trained:
    """The seed with the median validation accuracy: neither lucky nor chosen on the test part."""
    order = sorted(trained, key=lambda one: (one.row["validation_accuracy"], one.row["seed"]))
    return order[(len(order) - 1) // 2]


def publish(
    name: str, chosen: Trained, result: dict[str, Any], source: str, splits: lenet.Splits
) -> None:
    """Put weights into the package, with how far to believe them, and their card."""
    checkpoint = chosen.checkpoint
    if len(splits.validation):
        checkpoint.trust = learn_trust(checkpoint.model, checkpoint.preprocessing, splits)
    weights = ROOT / "src" / "lenet" / "weights"
    save_checkpoint(weights / f"{name}.safetensors", checkpoint)
    card = {
        "name": name,
        "network": result["network"],
        "data": result["data"],
        "recipe": result["recipe"]["name"],
        "seed": chosen.row["seed"],
        "chosen": "the seed with the median validation accuracy",
        "test_accuracy": chosen.row["test_accuracy"],
        "test_accuracy_over_seeds": result["test_accuracy"],
        **against_the_published_alone(splits, result),
        **of_other_writers(checkpoint, splits),
        "parameters": result["parameters"],
        "class_names": list(checkpoint.class_names),
        "source": source,
        "limits": LIMITS[checkpoint.preprocessing.preparation],
    }
    text = json.dumps(card, indent=1, ensure_ascii=False)
    write_atomic(weights / f"{name}.json", f"{text}\n".encode())


def against_the_published_alone(splits: lenet.Splits, result: dict[str, Any]) -> dict[str, Any]:
    """For the card, what drawn images cost: the accuracy of the same recipe without them."""
    if not splits.name.endswith(DRAWN):
        return {}
    name = result_name(splits.name.removesuffix(DRAWN), result["network"], result["recipe"]["name"])
    alone = json.loads((ROOT / "results" / f"{name}.json").read_text("utf-8"))
    return {"test_accuracy_over_seeds_without_drawn": alone["test_accuracy"]}


def of_other_writers(checkpoint: lenet.Checkpoint, splits: lenet.Splits) -> dict[str, Any]:
    """For the card of weights that read digits: the accuracy on scikit-learn's, of 13 others."""
    others = load_digits()
    if splits.name == "digits" or splits.class_names != DATASETS["digits"].class_names:
        return {}
    network = NumpyNetwork(checkpoint.model)
    scores = NumpyEngine().scores(network, others.images, checkpoint.preprocessing)
    evaluation = lenet.evaluate(scores, others.labels, splits.class_names)
    recall = {one.name: one.recall for one in evaluation.per_class}
    return {"accuracy_on_digits": evaluation.accuracy, "recall_on_digits": recall}


def result_name(data: str, network: str, recipe: str) -> str:
    return f"accuracy-{data}-{network}-{recipe}"


LIMITS = {
    "digit": "One handwritten digit 0-9 in the middle of the picture. Other things get a label "
    "too, and most of the time the doubt `unknown`: letters that look like digits do not.",
    "garment": "One piece of clothing from the ten classes, photographed alone on a plain "
    "background. Anything else gets a label too, and most of the time the doubt `unknown`.",
    "plain": "Pictures like those it was trained on.",
}


if __name__ == "__main__":
    main()
