"""Atomic writes: after a crash a file is the old one or the new one."""

import os
import secrets
from pathlib import Path

from lenet.errors import LenetError


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file by `data` so that a reader sees all of it or what was there before.

    The bytes are on the disk when this returns, also if the power fails right after.

    Raises
    ------
    LenetError
        When the file cannot be written; what was there is then untouched.
    """
    if not path.name:
        raise LenetError(f"cannot write {path}: it is a folder")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        # The mode is what the umask leaves of 0666, as for any file the user makes.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise LenetError(f"cannot write {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk (Windows does it by itself and cannot be asked to)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
