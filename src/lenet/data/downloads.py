"""Published files: where they are, whether they are the published ones, and how they come here.

The only module that uses the network.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from lenet.data.catalogue import Dataset, OfficialFile, find_dataset
from lenet.errors import DataError, DownloadError, LenetError
from lenet.files import write_atomic

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes received and the bytes in all."""

_TIMEOUT_SECONDS = (6, 20)  # to be reached, and between two pieces


@dataclass(frozen=True)
class FileCheck:
    """What `verify_dataset` found of one file.

    Parameters
    ----------
    path : Path
        Where the file is, or would be downloaded to.
    state : {"verified", "missing", "damaged"}
    problem : str
        One sentence; empty when verified.
    """

    path: Path
    state: Literal["verified", "missing", "damaged"]
    problem: str = ""


def fetch_dataset(name: str, on_progress: Progress | None = None) -> tuple[Path, ...]:
    """Make sure that every file of a data set is here and is the published one.

    Parameters
    ----------
    name : str
        In `DATASETS`.
    on_progress : callable, optional
        Called with a file's name, the bytes received and the bytes in all while it downloads.

    Returns
    -------
    paths : tuple of Path
        The files; none for a data set that is built in.

    Raises
    ------
    DataError
        When the name is unknown, or a file in `LENET_DATA` is not the published one.
    DownloadError
        When no mirror gives a file, or the cache cannot be written.
    """
    dataset = find_dataset(name)
    mirrors = list(dataset.mirrors)
    return tuple(_obtain(dataset, file, mirrors, on_progress)[0] for file in dataset.files)


def read_files(dataset: Dataset) -> tuple[bytes, ...]:
    """Every file's content, verified; what is not here yet is downloaded.

    Raises
    ------
    DataError
        When a file in `LENET_DATA` is not the published one.
    DownloadError
        When no mirror gives a file, or the cache cannot be written.
    """
    mirrors = list(dataset.mirrors)
    return tuple(_obtain(dataset, file, mirrors)[1] for file in dataset.files)


def verify_dataset(name: str) -> tuple[FileCheck, ...]:
    """Compare every file of a data set with the published SHA-256; downloads nothing.

    Raises
    ------
    DataError
        When the name is unknown.
    """
    dataset = find_dataset(name)
    return tuple(_verify(dataset, file) for file in dataset.files)


def explain_absence(name: str) -> str:
    """Why a data set cannot be read without a download, in a few words; empty when it can.

    Raises
    ------
    DataError
        When the name is unknown.
    """
    for file in verify_dataset(name):
        if file.state != "verified":
            return f"{name} is {file.state}, `lenet data get {name}` fetches it"
    return ""


def _verify(dataset: Dataset, file: OfficialFile) -> FileCheck:
    places = _places(dataset, file)
    for path in places:
        try:
            if _read_verified(path, file) is not None:
                return FileCheck(path, "verified")
        except DataError as error:
            return FileCheck(path, "damaged", str(error))
    return FileCheck(places[-1], "missing", f"lenet data get {dataset.name} downloads it")


def _places(dataset: Dataset, file: OfficialFile) -> tuple[Path, ...]:
    """Where the user may have put the file, if anywhere, and last where the cache keeps it."""
    given = os.environ.get("LENET_DATA")
    cache = os.environ.get("LENET_CACHE")
    if not cache:
        import pooch

        cache = pooch.os_cache("lenet")
    return tuple(Path(place, dataset.folder, file.name) for place in (given, cache) if place)


def _obtain(
    dataset: Dataset, file: OfficialFile, mirrors: list[str], on_progress: Progress | None = None
) -> tuple[Path, bytes]:
    """The file's place and verified content: the user's, else the cache's, else a mirror's."""
    *given, cached = _places(dataset, file)
    for path in given:
        content = _read_verified(path, file)  # not ours to replace, so damage is an error
        if content is not None:
            return path, content
    try:
        content = _read_verified(cached, file)
    except DataError:
        content = None
    if content is None:
        content = download(dataset, file, mirrors, cached, on_progress)
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(cached, content)
        except (OSError, LenetError) as error:
            raise DownloadError(
                f"{cached} cannot be written: {error}; let LENET_CACHE name a folder that can"
            ) from error
    return cached, content


def _read_verified(path: Path, file: OfficialFile) -> bytes | None:
    """The published file's content, or None when there is no file."""
    remedy = "replace it, or remove it and it is downloaded again"
    try:
        size = path.stat().st_size
        if not path.is_file() or size != file.size:
            raise DataError(f"{path} has {size} bytes, not the published {file.size}; {remedy}")
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise DataError(
            f"{path} is not the published file: SHA-256 {sha256}, not {file.sha256}; {remedy}"
        )
    return content


class _BoundedBuffer(BytesIO):
    """Refuses the first byte more than a file may have, and tells how far it is."""

    def __init__(self, file: OfficialFile, on_progress: Progress | None) -> None:
        super().__init__()
        self.file = file
        self.on_progress = on_progress

    def write(self, chunk: Any) -> int:
        received = self.tell() + len(chunk)
        if received > self.file.size:
            raise DataError(f"sends more than the published {self.file.size} bytes")
        if self.on_progress is not None:
            self.on_progress(self.file.name, received, self.file.size)
        return super().write(chunk)


def download(
    dataset: Dataset,
    file: OfficialFile,
    mirrors: list[str],
    target: Path,
    on_progress: Progress | None,
) -> bytes:
    """Ask the mirrors in turn for a file; content that is not the published one is refused.

    Parameters
    ----------
    dataset : Dataset
    file : OfficialFile
    mirrors : list of str
        The one that gives the file is put first, to be asked first for the next: where others
        cannot be reached, they are waited for once.
    target : Path
        Where it would be kept, for the message.
    on_progress : callable, optional

    Raises
    ------
    DownloadError
        When no mirror gives it.
    """
    import pooch

    get = pooch.HTTPDownloader(chunk_size=2**16, timeout=_TIMEOUT_SECONDS)
    failures = []
    for mirror in mirrors:
        buffer = _BoundedBuffer(file, on_progress)
        try:
            get(mirror + file.name, buffer, None)
            content = buffer.getvalue()
            if len(content) != file.size:
                raise DataError(f"sends {len(content)} of {file.size} bytes")
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise DataError("sends other bytes than the published SHA-256 has")
        except (OSError, DataError) as error:  # requests' errors are OSErrors
            failures.append(f"{urlsplit(mirror).netloc}: {_in_short(error)}")
            continue
        mirrors.remove(mirror)
        mirrors.insert(0, mirror)
        return content
    names = ", ".join(file.name for file in dataset.files)
    raise DownloadError(
        f"{dataset.name}: no mirror gave {file.name} ({'; '.join(failures)}); try again later, or "
        f"put the files {names} into {target.parent}, or into a folder {dataset.name} inside the "
        f"one that LENET_DATA names"
    )


def _in_short(error: Exception) -> str:
    """What went wrong with a mirror, without the innards of the library that asked it."""
    from requests import ConnectionError as Unreachable
    from requests import HTTPError, Timeout

    if isinstance(error, HTTPError) and error.response is not None:
        return f"answers {error.response.status_code}"
    if isinstance(error, Unreachable | Timeout):
        return "cannot be reached"
    return str(error) if isinstance(error, DataError) else "breaks off"
