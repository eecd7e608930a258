"""A name or a folder of pictures becomes a data set in memory: train, validation and test."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from lenet.data.catalogue import DATASETS, VALIDATION_FRACTION, Dataset
from lenet.data.digits import load_digits
from lenet.data.downloads import read_files
from lenet.data.drawn.handwriting import draw_digits
from lenet.data.folders import find_parts, read_parts
from lenet.data.idx import read_idx
from lenet.data.preprocessing import Preparation
from lenet.data.splits import Split, Splits, digest, hold_out
from lenet.errors import DataError, suggestion

TEST_FRACTION = 0.2
"""Share of the images that is the test part where none is published."""

_DRAWN_SEED = 7  # which digits are drawn belongs to the data set, not to the user's seed
_TEST_SEED = 1998  # which images test is not for the user's seed to choose


def load_dataset(
    name_or_folder: str | Path, *, validation: int | float | None = None, seed: int = 0
) -> Splits:
    """Load a data set into memory and split it.

    Parameters
    ----------
    name_or_folder : str or Path
        A name in `DATASETS`; or a folder with one subfolder of pictures per class, or with
        `train` and optionally `validation` (or `val`) and `test` folders of such subfolders.
    validation : int or float, optional
        How much of the training part is held out for validation, drawn stratified: a number of
        images, or a fraction, 0 ≤ fraction < 1. With 0 all of it is learnt from. By default 5,000
        images of MNIST and Fashion-MNIST, a tenth elsewhere.
    seed : int
        Which training images are held out. The test part never depends on it: it is the published
        one, the folder's own, or a fixed stratified fifth when neither exists.

    Returns
    -------
    splits : Splits

    Raises
    ------
    DataError
        When the data set is unknown, damaged, or no set of classes to learn.
    DownloadError
        When files are missing and no mirror gives them.

    Notes
    -----
    Files are looked for in `$LENET_DATA/<name>/`, then in the user's cache (`$LENET_CACHE`, else
    the system's place for caches), then downloaded into the cache.
    """
    if validation is not None:
        _check_amount(validation)
    if not isinstance(name_or_folder, Path) and name_or_folder in DATASETS:
        dataset = DATASETS[name_or_folder]
        splits = _load_known(dataset, validation, seed)
        return _add_drawn(splits, dataset.n_drawn) if dataset.n_drawn else splits
    try:
        return _load_folder(_existing_folder(name_or_folder), validation, seed)
    except OSError as error:
        raise DataError(f"{name_or_folder} cannot be read: {error.strerror}") from error


def _check_amount(validation: int | float) -> None:
    """Refuse what is neither a number of images nor a fraction."""
    count = isinstance(validation, int) and validation >= 0
    if isinstance(validation, bool) or not (count or 0 <= validation < 1):
        raise DataError(
            f"validation is {validation}; it is a fraction from 0 to below 1, or a whole number "
            f"of images"
        )


def _load_known(dataset: Dataset, validation: float | None, seed: int) -> Splits:
    if dataset.files:
        images, labels, test_images, test_labels = map(read_idx, read_files(dataset))
        parts = {
            "train": Split(images, labels.astype(np.int64)),
            "test": Split(test_images, test_labels.astype(np.int64)),
        }
    else:
        parts = {"train": load_digits()}
    amount = dataset.validation if validation is None else validation
    return _complete(dataset.name, parts, amount, seed, dataset.class_names, dataset.preparation)


def _add_drawn(splits: Splits, count: int) -> Splits:
    """The same with digits drawn by rule in the training part; what is measured on stays."""
    train, drawn = splits.train, draw_digits(count, _DRAWN_SEED)
    both = Split(
        np.concatenate([train.images, drawn.images]), np.concatenate([train.labels, drawn.labels])
    )
    together = hashlib.sha256(f"{splits.sha256} {digest(drawn)}".encode()).hexdigest()
    return replace(splits, train=both, sha256=together)


def _load_folder(folder: Path, validation: float | None, seed: int) -> Splits:
    folders = find_parts(folder)
    if validation is not None and "validation" in folders:
        raise DataError(f"{folder} has its own validation part; leave validation out")
    class_names, parts = read_parts(folders)
    fraction = VALIDATION_FRACTION if validation is None else validation
    splits = _complete(folder.resolve().name, parts, fraction, seed, class_names, "plain")
    if fraction and not len(splits.validation):
        raise DataError(f"{folder} is too small to hold out a validation part: add pictures")
    if not len(splits.test):
        raise DataError(f"{folder} is too small to hold out a test part: add pictures")
    return splits


def _existing_folder(name_or_folder: str | Path) -> Path:
    folder = Path(name_or_folder)
    if str(name_or_folder) and folder.is_dir():
        return folder
    raise DataError(
        f"{str(name_or_folder)!r} is neither a data set ({', '.join(DATASETS)}) "
        f"nor a folder of pictures{suggestion(str(name_or_folder), DATASETS)}"
    )


def _complete(
    name: str,
    parts: Mapping[str, Split],
    validation: int | float,
    seed: int,
    class_names: tuple[str, ...],
    preparation: Preparation,
) -> Splits:
    """Hold out of the training part what a data set does not bring: first test, then validation."""
    train = parts["train"]
    if "test" in parts:
        test = parts["test"]
    else:
        train, test = hold_out(train, TEST_FRACTION, _TEST_SEED)
    if "validation" in parts:
        held_out = parts["validation"]
    else:
        if validation >= len(train):
            raise DataError(
                f"validation is {validation:,} images of the {len(train):,} there are to learn "
                f"from; hold out fewer"
            )
        train, held_out = hold_out(train, validation, seed)
    return Splits(
        name=name,
        train=train,
        validation=held_out,
        test=test,
        class_names=class_names,
        preparation=preparation,
        sha256=digest(*parts.values()),
    )
