"""Which pictures a command line means: files, folders, patterns, standard input."""

import glob
import importlib.util
import os
from pathlib import Path

from lenet.data.signatures import HEIF_READER, HEIF_SUFFIXES, PICTURE_SUFFIXES
from lenet.errors import InputError
from lenet.progress import say

STDIN = "-"

_NAMED = 3  # files passed over whose names are said


def find_pictures(pattern: str, *, recursive: bool) -> list[str]:
    """A file, the pictures in a folder, or what a pattern matches where the shell left it alone.

    What is passed over in a folder is said in one line each: subfolders, files that are no
    pictures. Hidden files are nobody's pictures.

    Raises
    ------
    InputError
        When a folder holds no pictures.
    """
    folder = Path(pattern)
    if pattern not in (STDIN, "") and folder.is_dir():
        return _in_folder(folder, recursive)
    if glob.has_magic(pattern) and not os.path.lexists(pattern):
        return sorted(glob.glob(pattern, recursive=True)) or [pattern]  # noqa: PTH207
    return [pattern]


def _in_folder(folder: Path, recursive: bool) -> list[str]:
    heif = HEIF_SUFFIXES if importlib.util.find_spec(HEIF_READER) else ()
    read = (*PICTURE_SUFFIXES, *heif)
    entries = folder.rglob("*") if recursive else folder.iterdir()
    seen = [entry for entry in entries if not _hidden(entry.relative_to(folder))]
    folders = [entry for entry in seen if entry.is_dir()]
    files = sorted(entry for entry in seen if not entry.is_dir())
    pictures = [file for file in files if file.suffix.lower() in read]
    if folders and not recursive:
        what = f"{len(folders)} subfolders were" if len(folders) > 1 else "1 subfolder was"
        say(f"note: {folder}: {what} passed over; --recursive reads them")
    if others := [file for file in files if file not in pictures]:
        say(f"note: {folder}: {_passed_over(others)}")
    if not pictures:
        raise InputError(f"{folder} holds no pictures ({', '.join(read)})")
    return [str(picture) for picture in pictures]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _passed_over(files: list[Path]) -> str:
    names = ", ".join(file.name for file in files[:_NAMED])
    more = ", …" if len(files) > _NAMED else ""
    what = f"{len(files)} files that are no pictures were" if len(files) > 1 else "1 file was"
    heif = sum(file.suffix.lower() in HEIF_SUFFIXES for file in files)
    way_out = "; for HEIC export as JPEG, or pip install pillow-heif" if heif else ""
    return f"{what} passed over ({names}{more}){way_out}"
