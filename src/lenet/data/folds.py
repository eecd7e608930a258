"""Cross-validation's folds: what is not test, dealt into parts that are tested on in turn."""

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenet.data.splits import Splits, hold_out, join, take
from lenet.errors import DataError

MOST_FOLDS = 100

_SEED = 1998  # which image is in which fold is not for the user's seed to choose


def read_fold(fold: str) -> tuple[int, int]:
    """Which fold, from 1, and of how many: ``"2/5"`` is (2, 5).

    Raises
    ------
    DataError
        When it is not such a pair.
    """
    match = re.fullmatch(r"(\d{1,3})/(\d{1,3})", fold)
    number, folds = map(int, match.groups()) if match else (0, 0)
    if not (2 <= folds <= MOST_FOLDS and 1 <= number <= folds):
        raise DataError(f"fold is {fold!r}; it is a number and how many, such as 2/5")
    return number, folds


def take_fold(splits: Splits, fold: str, validation: int | float, seed: int) -> Splits:
    """Test on one fold of the training and validation images, learn from the others.

    The test part is in no fold: nobody reads it.

    Parameters
    ----------
    splits : Splits
    fold : str
        ``"2/5"`` is the second of five. Folds are stratified, and the same for every seed.
    validation : int or float
        How much of the other folds is held out to choose the best epoch by: a number of images, or
        a fraction.
    seed : int
        Which of them.

    Returns
    -------
    splits : Splits

    Raises
    ------
    DataError
        When there is no such fold, or a class has fewer images than there are folds.
    """
    number, folds = read_fold(fold)
    pool = join(splits.train, splits.validation)
    counts = pool.count(len(splits.class_names))
    if counts.min() < folds:
        rare = splits.class_names[int(counts.argmin())]
        raise DataError(
            f"{splits.name} has {counts.min()} images of {rare} that are not test, "
            f"too few for {folds} folds"
        )
    chosen = _deal(pool.labels, folds) == number - 1
    train, held_out = hold_out(take(pool, ~chosen), validation, seed)
    remark = (
        f"Fold {number} of {folds}: {chosen.sum():,} images of the training and validation parts "
        f"are tested on; the test part itself is not read."
    )
    return replace(
        splits,
        train=train,
        validation=held_out,
        test=take(pool, chosen),
        remarks=(*splits.remarks, remark),
    )


def _deal(labels: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """The fold of every image, from 0: each class shuffled, then dealt like cards.

    The next class goes on where the last one ended, so that folds differ by one image at most.
    """
    order = np.random.default_rng(_SEED).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % folds
    return fold
