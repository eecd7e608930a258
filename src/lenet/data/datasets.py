"""A name or a folder of pictures becomes a data set in memory: train, validation and test."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.catalogue import DATASETS, VALIDATION_FRACTION, Dataset
from lenet.data.choice import Choice, choose_preparation
from lenet.data.digits import load_digits
from lenet.data.downloads import read_files
from lenet.data.drawn.handwriting import draw_digits
from lenet.data.folds import read_fold, take_fold
from lenet.data.idx import read_idx
from lenet.data.layouts import find_source
from lenet.data.layouts.source import Part, Source, several
from lenet.data.preprocessing import PREPARATIONS, Preparation, Wish
from lenet.data.reading import read_part
from lenet.data.remarks import remark_on
from lenet.data.splits import Split, Splits, digest, draw_held_out, hold_out, join, take
from lenet.errors import DataError, suggestion

TEST_FRACTION = 0.2
"""Share of the images that is the test part where none is published."""

_DRAWN_SEED = 7  # which digits are drawn belongs to the data set, not to the user's seed
_DRAWN_PER_HELD_OUT = 8  # drawn digits to learn from, for one to choose by
_TEST_SEED = 1998  # which images test is not for the user's seed to choose


def load_dataset(
    name_or_folder: str | Path,
    *,
    validation: int | float | None = None,
    seed: int = 0,
    preparation: Wish = "auto",
    skip_damaged: bool = False,
    fold: str | None = None,
) -> Splits:
    """Load a data set into memory and split it.

    Parameters
    ----------
    name_or_folder : str or Path
        A name in `DATASETS`; or a folder with one subfolder of pictures per class, with `train`
        and optionally `validation` and `test` folders of such subfolders, with pictures and a CSV
        file of their labels, with IDX files as MNIST's, or with an `.npz` file; or such a file.
    validation : int or float, optional
        How much of the training part is held out for validation, drawn stratified: a number of
        images, or a fraction, 0 ≤ fraction < 1. With 0 all of it is learnt from. By default 5,000
        images of MNIST and Fashion-MNIST, a tenth elsewhere.
    seed : int
        Which training images are held out. The test part never depends on it: it is the published
        one, the folder's own, or a fixed stratified fifth when neither exists.
    preparation : {"auto", "digit", "garment", "plain"}
        How pictures of a folder become 28×28 ink, as `lenet.data.ink.to_ink` describes. `auto`
        looks at pictures of the training part and crops to the object where that is reliable and
        helps. A data set with a name is ink already, and takes its own only.
    skip_damaged : bool
        Leave out pictures that cannot be read, instead of refusing them all by name.
    fold : str, optional
        For cross-validation: ``"2/5"`` tests on the second of five stratified folds of what is not
        test, and the test part itself is in no part. What `preparation` chooses, it chooses by
        pictures of all folds.

    Returns
    -------
    splits : Splits
        Its remarks say what was chosen, passed over and left out, and what to beware of.

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
    if preparation not in ("auto", *PREPARATIONS):
        known = ", ".join(("auto", *PREPARATIONS))
        raise DataError(f"preparation {preparation!r} is unknown; use one of {known}")
    if fold is not None:
        read_fold(fold)  # before anything is loaded
    if not isinstance(name_or_folder, Path) and name_or_folder in DATASETS:
        dataset = DATASETS[name_or_folder]
        if preparation not in ("auto", dataset.preparation):
            raise DataError(
                f"{dataset.name} is ink already, of preparation {dataset.preparation}; "
                f"leave {preparation} out"
            )
        amount = dataset.validation if validation is None else validation
        splits = _load_known(dataset, amount, seed)
        splits = _add_drawn(splits, dataset.n_drawn) if dataset.n_drawn else splits
        return splits if fold is None else take_fold(splits, fold, amount, seed)
    try:
        folder, source = _find(name_or_folder)
        if validation is not None and "validation" in source.parts:
            raise DataError(f"{folder} has its own validation part; leave validation out")
        fraction = VALIDATION_FRACTION if validation is None else validation
        splits = _load_source(folder, source, fraction, seed, preparation, skip_damaged)
    except OSError as error:
        raise DataError(f"{name_or_folder} cannot be read: {error.strerror or error}") from error
    return splits if fold is None else take_fold(splits, fold, fraction, seed)


def find_layout(name_or_folder: str | Path) -> str:
    """How a data set is laid out, in a few words.

    Raises
    ------
    DataError
        When it is unknown, or not laid out in a way that is read.
    """
    if not isinstance(name_or_folder, Path) and name_or_folder in DATASETS:
        return "a data set with a name"
    return _find(name_or_folder)[1].layout


def _check_amount(validation: int | float) -> None:
    """Refuse what is neither a number of images nor a fraction."""
    count = isinstance(validation, int) and validation >= 0
    if isinstance(validation, bool) or not (count or 0 <= validation < 1):
        raise DataError(
            f"validation is {validation}; it is a fraction from 0 to below 1, or a whole number "
            f"of images"
        )


def _load_known(dataset: Dataset, validation: int | float, seed: int) -> Splits:
    if dataset.files:
        images, labels, test_images, test_labels = map(read_idx, read_files(dataset))
        train = Split(images, labels.astype(np.int64))
        test = Split(test_images, test_labels.astype(np.int64))
        sha256 = digest(train, test)
    else:
        whole = load_digits()
        train, test = hold_out(whole, TEST_FRACTION, _TEST_SEED)
        sha256 = digest(whole)
    train, held_out = _hold_out_validation(train, validation, seed)
    return Splits(
        name=dataset.name,
        train=train,
        validation=held_out,
        test=test,
        class_names=dataset.class_names,
        preparation=dataset.preparation,
        sha256=sha256,
    )


def _add_drawn(splits: Splits, count: int) -> Splits:
    """The same with digits drawn by rule beside what is learnt from and chosen by; test stays."""
    held_out = count // _DRAWN_PER_HELD_OUT if len(splits.validation) else 0
    drawn = draw_digits(count + held_out, _DRAWN_SEED)
    to_choose_by, to_learn = (
        Split(drawn.images[part], drawn.labels[part])
        for part in (slice(held_out), slice(held_out, None))
    )
    return replace(
        splits,
        train=join(splits.train, to_learn),
        validation=join(splits.validation, to_choose_by),
        sha256=hashlib.sha256(f"{splits.sha256} {digest(drawn)}".encode()).hexdigest(),
    )


def _hold_out_validation(train: Split, amount: int | float, seed: int) -> tuple[Split, Split]:
    if amount >= len(train):
        raise DataError(
            f"validation is {amount:,} images of the {len(train):,} there are to learn from; "
            f"hold out fewer"
        )
    return hold_out(train, amount, seed)


def _find(name_or_folder: str | Path) -> tuple[Path, Source]:
    place = Path(name_or_folder)
    source = find_source(place) if str(name_or_folder) else None
    if source is not None:
        return place, source
    raise DataError(
        f"{str(name_or_folder)!r} is neither a data set ({', '.join(DATASETS)}) "
        f"nor a folder of pictures{suggestion(str(name_or_folder), DATASETS)}"
    )


def _load_source(
    folder: Path,
    source: Source,
    validation: int | float,
    seed: int,
    preparation: Wish,
    skip_damaged: bool,
) -> Splits:
    """Choose how pictures are prepared, read them, hold out what the source does not bring."""
    train = source.parts["train"]
    # Drawn from the list, before a picture is read: neither a damaged picture nor the choice of the
    # preparation may move what test is.
    tested = np.zeros(len(train), bool)
    if "test" not in source.parts:
        tested = draw_held_out(train.labels, TEST_FRACTION, _TEST_SEED)
    choice = (
        Choice(preparation, "")
        if preparation != "auto"
        else choose_preparation(train, np.flatnonzero(~tested))
    )
    parts, sound, damage = _read(folder, source, choice.preparation, skip_damaged)
    sha256 = digest(*parts.values())
    if "test" not in parts:
        tested = tested[sound]
        parts |= {"test": take(parts["train"], tested), "train": take(parts["train"], ~tested)}
    if "validation" not in parts:
        parts["train"], parts["validation"] = _hold_out_validation(parts["train"], validation, seed)
    wanted = ("validation", "test") if validation else ("test",)
    for name in wanted:
        if not len(parts[name]):
            raise DataError(f"{folder} is too small to hold out a {name} part: add pictures")
    loaded = Splits(
        name=folder.resolve().name.removesuffix(folder.suffix if folder.is_file() else ""),
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        class_names=source.class_names,
        preparation=choice.preparation,
        sha256=sha256,
    )
    remarks = (*source.remarks, choice.reason, damage, *remark_on(loaded))
    return replace(loaded, remarks=tuple(filter(None, remarks)))


def _read(
    folder: Path, source: Source, preparation: Preparation, skip_damaged: bool
) -> tuple[dict[str, Split], NDArray[np.bool_], str]:
    """Every part's pictures as ink.

    Returns
    -------
    parts : dict of str to Split
        Without what cannot be read.
    sound : (N,) bool
        Which pictures of the training part can be.
    damage : str
        A remark about the others; empty when there are none.
    """
    read = {name: read_part(part, preparation) for name, part in source.parts.items()}
    failures = [failure for _, each in read.values() for failure in each if failure]
    n_pictures = sum(map(len, source.parts.values()))
    damage = f"{len(failures)} of {n_pictures} pictures cannot be read"
    why = several([*dict.fromkeys(failures)])  # arrays, which have no names, fail alike
    if failures and not skip_damaged:
        raise DataError(
            f"{damage}: {why}; remove them, or leave them out with --skip-damaged "
            "(skip_damaged=True)"
        )
    parts, sound = {}, {}
    for name, (ink, each) in read.items():
        sound[name] = np.array([not failure for failure in each], bool)
        part = source.parts[name]
        parts[name] = take(Split(ink, part.labels, _files(part, folder)), sound[name])
    counts = np.bincount(parts["train"].labels, minlength=len(source.class_names))
    if not counts.all():
        name = source.class_names[int(counts.argmin())]
        raise DataError(f"{folder}: no picture of {name!r} can be read; replace them")
    remark = f"{damage} and were left out: {why}." if failures else ""
    return parts, sound["train"], remark


def _files(part: Part, folder: Path) -> tuple[str, ...] | None:
    """Where the pictures of a part lie below the folder, or beside the table that is the data."""
    if isinstance(part.pictures, np.ndarray):
        return None
    top = folder if folder.is_dir() else folder.parent
    return tuple(Path(os.path.relpath(path, top)).as_posix() for path in part.pictures)
