"""The data set that a run began with: found again, and proven to be the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet.data.catalogue import DATASETS
from lenet.data.datasets import load_dataset
from lenet.data.splits import Splits
from lenet.errors import RunError
from lenet.runs.folders import read_settings, trusting_settings


@dataclass(frozen=True)
class Origin:
    """Where a run's data came from.

    Parameters
    ----------
    source : str
        The data set's name, or the absolute path of its folder.
    loading : dict
        What else `lenet.load_dataset` was given.
    splits : Splits
    """

    source: str
    loading: dict[str, Any]
    splits: Splits


def name_source(data: str | Path) -> str:
    """A data set's name as it is; a folder's absolute path."""
    named = isinstance(data, str) and data in DATASETS
    return str(data) if named else str(Path(data).resolve())


def load_origin(folder: str | Path, data: str | Path | None = None) -> Origin:
    """The data set that a run began with.

    Parameters
    ----------
    folder : str or Path
        The run's.
    data : str or Path, optional
        Where the data set is now, when it has moved.

    Raises
    ------
    RunError
        When the folder is no run or is damaged, or the data set is gone or another one.
    """
    folder = Path(folder)
    return find_origin(folder, read_settings(folder), data)


def find_origin(
    folder: Path, settings: Mapping[str, Any], data: str | Path | None = None
) -> Origin:
    """The same, for whoever has read the run's settings already."""
    with trusting_settings(folder):
        about = settings["data"]
        source, sha256 = about["source"], about["sha256"]
        if not isinstance(source, str):
            raise TypeError(source)
        validation, fold = about.get("validation"), about.get("fold")
        if not isinstance(validation, int | float | None) or not isinstance(fold, str | None):
            raise TypeError(validation, fold)
        loading = {"validation": validation, "fold": fold}
        if source not in DATASETS:  # older runs knew no preparation but plain
            loading |= {
                "preparation": about.get("preparation", "plain"),
                "skip_damaged": about.get("skip_damaged", False),
            }
    if data is not None:
        source = _find_moved(folder, source, data)
    splits = _load_again(folder, source, loading)
    if splits.sha256 != sha256:
        raise RunError(
            f"{source} is {'no longer' if data is None else 'not'} the data set that {folder} "
            f"began with; put it back, or start a new run"
        )
    return Origin(source, loading, splits)


def _find_moved(folder: Path, source: str, data: str | Path) -> str:
    """Where the data set of a run is now; a name never becomes a folder, nor the other way."""
    moved = name_source(data)
    if source != moved and (source in DATASETS or moved in DATASETS):
        raise RunError(f"{moved} is not the data set that {folder} began with: that is {source}")
    return moved


def _load_again(folder: Path, source: str, loading: Mapping[str, Any]) -> Splits:
    if source in DATASETS:
        return load_dataset(source, **loading)
    if not Path(source).exists():
        raise RunError(
            f"{source} is gone, the data set that {folder} began with; say where it is now: "
            f"--data FOLDER"
        )
    return load_dataset(Path(source), **loading)
