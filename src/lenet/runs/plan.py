"""What a training is made of, before anything of it is on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lenet.checkpoints import check_class_names
from lenet.data.catalogue import DATASETS
from lenet.data.datasets import load_dataset
from lenet.data.preprocessing import Preprocessing, Wish
from lenet.data.splits import PARTS, Splits
from lenet.errors import DataError
from lenet.networks import LeNet, build_network
from lenet.runs.origin import name_source
from lenet.runs.starts import Start, load_start
from lenet.training.changes import change_recipe, split_changes
from lenet.training.recipes import Recipe, default_recipe, find_recipe


@dataclass(frozen=True)
class Plan:
    """What a training is made of: as the fields of `lenet.runs.Run` of the same names."""

    source: str
    loading: Mapping[str, Any]
    splits: Splits
    network: LeNet
    recipe: Recipe
    preprocessing: Preprocessing
    start: Start | None

    @property
    def initial(self) -> dict[str, Tensor] | None:
        """The weights to start from, if any."""
        return None if self.start is None else self.start.initial(self.splits.class_names)


def make_plan(
    data: str | Path = "digits",
    network: str | None = None,
    recipe: Recipe | str | None = None,
    *,
    validation: int | float | None = None,
    preparation: Wish = "auto",
    skip_damaged: bool = False,
    changes: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    fold: str | None = None,
) -> Plan:
    """Load the data, build the network, settle the recipe; `lenet.runs.create_run` says of what.

    Raises
    ------
    LenetError
        When the data, the weights or the network cannot be had.
    """
    start = load_start(weights) if weights is not None else None
    if start is not None and network is not None:
        start.check_network(network)
    network = network or (start.checkpoint.network.name if start is not None else "modern")
    changed, options = split_changes(changes or {}, network)
    if isinstance(recipe, str):
        recipe = find_recipe(recipe)
    source = name_source(data)
    loading: dict[str, Any] = {"validation": validation, "fold": fold}
    if start is not None and preparation == "auto" and source not in DATASETS:
        preparation = start.checkpoint.preprocessing.preparation
    splits = load_dataset(data, preparation=preparation, skip_damaged=skip_damaged, **loading)
    if source not in DATASETS:  # what was chosen is kept, so that a resumed run has the same
        loading |= {"preparation": splits.preparation, "skip_damaged": skip_damaged}
    for part in PARTS:
        if len(splits.part(part)) == 0 and not (part == "validation" and validation == 0):
            raise DataError(f"{splits.name} has no {part} images; add some to every class")
    classes = len(splits.class_names)
    if start is not None:
        options = start.options(classes) | options
    built = build_network(network, num_classes=classes, **options)
    recipe = change_recipe(recipe or default_recipe(network, splits), changed)
    check_class_names(splits.class_names, built.num_classes)  # here, not after the training
    preprocessing = (start or recipe).preprocessing(splits)
    return Plan(source, loading, splits, built, recipe, preprocessing, start)
