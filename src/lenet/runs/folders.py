"""The run folder itself: made once, locked while it is worked in, its settings written whole."""

import contextlib
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lenet.errors import CheckpointError, RunError, SettingError
from lenet.files import write_atomic
from lenet.packing import read_bounded

SETTINGS_FILE = "run.json"
STATE_FOLDER = "state"

_FORMAT = 1
_LOCK = "lock"


def check_name(name: str) -> None:
    """Refuse what is no plain name for a folder on every system.

    Raises
    ------
    SettingError
    """
    odd = [c for c in name if c in '<>:"/\\|?*' or not c.isprintable()]
    if not name.strip(". ") or name != name.strip() or name[0] == "-" or odd:
        raise SettingError("name", f"must be the name of a folder, without slashes, got {name!r}")


def make_folder(out: Path, stem: str, name: str | None = None) -> Path:
    """Make ``<out>/<name>``, or ``<out>/<stem>-<n>`` with the next free number.

    Two processes never get the same one.

    Raises
    ------
    RunError
        When it cannot be made, or the name is taken.
    """
    if name is not None:
        check_name(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        pattern = re.compile(re.escape(stem) + r"-(\d{1,9})")
        taken = [int(m[1]) for entry in out.iterdir() if (m := pattern.fullmatch(entry.name))]
        number = max(taken, default=0) + 1
        while True:
            folder = out / (name or f"{stem}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                if name is not None:
                    raise RunError(
                        f"{folder} is there already: choose another name, or go on with "
                        f"lenet train --resume {shlex.quote(str(folder))}"
                    ) from None
                number += 1
                continue
            (folder / STATE_FOLDER).mkdir()
            return folder
    except OSError as error:
        raise RunError(f"cannot make a run folder in {out}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the run; the lock dies with the process."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / STATE_FOLDER / _LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder} is being trained by another process; wait for it") from None
        yield


def remove_leftovers(folder: Path) -> None:
    """Files whose writer was killed before they got their name."""
    for place in (folder, folder / STATE_FOLDER):
        for file in place.glob(".*.tmp"):
            file.unlink(missing_ok=True)


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write `run.json`: everything that the run is made with, and its results.

    Raises
    ------
    LenetError
        When it cannot be written.
    """
    about = {"format": _FORMAT, **settings}
    text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / SETTINGS_FILE, f"{text}\n".encode())


@contextlib.contextmanager
def trusting_settings(folder: Path) -> Iterator[None]:
    """Use what `read_settings` returned: whatever no run would have written is damage.

    Raises
    ------
    RunError
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / SETTINGS_FILE} is damaged: {error!r}") from error


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what `write_settings` wrote.

    Raises
    ------
    RunError
        When the folder is no run, or the file is damaged.
    """
    path = folder / SETTINGS_FILE
    if not folder.exists():
        raise RunError(f"there is no folder {folder}; start a new run, or give the folder of one")
    if not path.is_file():
        raise RunError(f"{folder} is no run: it has no {SETTINGS_FILE}; start a new one")
    try:
        settings = json.loads(read_bounded(path))
    except (ValueError, RecursionError, CheckpointError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(settings, dict) or settings.get("format") != _FORMAT:
        raise RunError(f"{path} is not format {_FORMAT} of lenet")
    return settings
