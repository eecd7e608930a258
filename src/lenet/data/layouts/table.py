"""Pictures whose labels stand in a table: a CSV file with a column of files and one of labels."""

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lenet.data.layouts.listing import Listing, list_folder
from lenet.data.layouts.source import (
    MAX_PICTURES,
    PART_OF,
    Part,
    Source,
    label_by_value,
    several,
)
from lenet.errors import DataError

MAX_BYTES = 2**28

_FILES = ("file", "filename", "file_name", "filepath", "image", "image_path", "path", "picture")
_LABELS = ("label", "class", "category", "target")
_PARTS = ("split", "part", "subset")

Columns = tuple[str, str, str]
"""The names of those of files, labels and, else empty, parts."""


def read_table(folder: Path, listing: Listing) -> Source | None:
    """The pictures that a CSV file in the folder names, with their labels.

    The columns are found by their names, such as `file` and `label`; a column `split` may say
    which part a picture belongs to. Files are looked for beside the table and one folder below.

    Parameters
    ----------
    folder : Path
    listing : Listing
        What is in it.

    Returns
    -------
    source : Source or None
        None when no CSV file has such columns.

    Raises
    ------
    DataError
        When two tables have them, a picture is missing, or has two labels.
    """
    found = find_tables(listing)
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"{folder} has {len(found)} tables of labels; keep {found[0][0].name}")
    path, columns = found[0]
    file_column, label_column, part_column = columns
    rows, twice = _read_rows(path, columns)
    there = [
        *listing.pictures,
        *(p for each in listing.folders for p in list_folder(each).pictures),
    ]
    places = _find_pictures(path, folder, there, list(rows))
    values, pictures = {}, {}
    for part in sorted({part for _, part in rows.values()}):
        chosen = [file for file, (_, of) in rows.items() if of == part]
        pictures[part] = [places[file] for file in chosen]
        values[part] = np.array([rows[file][0] for file in chosen])
    if "train" not in values:
        raise DataError(f"{path} names no training pictures in its column {part_column}")
    class_names, labels = label_by_value(values, path)
    parts = {part: Part(pictures[part], labels[part]) for part in pictures}
    remarks = [f"Labels were read from {path.name}, columns {file_column} and {label_column}."]
    if twice:
        remarks.append(f"{path.name} names {twice} of its pictures twice; once is enough.")
    remarks.append(_say_unnamed(path, folder, there, set(places.values())))
    return Source("a table of files and labels", class_names, parts, tuple(filter(None, remarks)))


def find_tables(listing: Listing) -> list[tuple[Path, Columns]]:
    """The CSV files of a folder that have the columns, and these."""
    files = [path for path in listing.others if path.suffix.lower() in (".csv", ".tsv")]
    return [(path, columns) for path in files if (columns := _find_columns(path))]


def _read_rows(path: Path, columns: Columns) -> tuple[dict[str, tuple[str, str]], int]:
    """The label and the part of each file, and how many are named twice."""
    file_column, label_column, part_column = columns
    rows: dict[str, tuple[str, str]] = {}
    twice = 0
    with _opened(path) as table:
        for row in table:
            file, label = (row[file_column] or "").strip(), (row[label_column] or "").strip()
            value = (label, _part_of(path, row, part_column))
            if not file or not label:
                raise DataError(f"{path}: row {len(rows) + twice + 2} lacks its file or its label")
            twice += file in rows
            if rows.setdefault(file, value) != value:
                raise DataError(f"{path}: {file} has two labels, {rows[file][0]} and {label}")
            if len(rows) > MAX_PICTURES:
                raise DataError(f"{path} has more than {MAX_PICTURES} rows; none was read")
    if not rows:
        raise DataError(f"{path} has no rows: name a picture and its label in each")
    return rows, twice


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["csv.DictReader[str]"]:
    """A table's rows by its columns, to be read inside the block."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has more than {MAX_BYTES} bytes; none was read")
    text = path.read_text("utf-8-sig", "surrogateescape")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        yield csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise DataError(f"{path} is no table: {error}") from error


def _find_columns(path: Path) -> Columns | None:
    with _opened(path) as table:
        names = table.fieldnames or ()
    known = {name.strip().lower(): name for name in reversed(names)}
    first = [
        next((known[w] for w in words if w in known), "") for words in (_FILES, _LABELS, _PARTS)
    ]
    return (first[0], first[1], first[2]) if first[0] and first[1] else None


def _part_of(path: Path, row: dict[str, str], column: str) -> str:
    word = (row[column] or "").strip().lower() if column else "train"
    if word not in PART_OF:
        raise DataError(f"{path}: {word!r} in column {column} is none of train, validation, test")
    return PART_OF[word]


def _find_pictures(
    table: Path, folder: Path, there: list[Path], files: list[str]
) -> dict[str, Path]:
    """Where each file is among the pictures that are there, or deeper in the folder."""
    by_name: dict[str, Path] = {}
    for path in there:
        by_name.setdefault(path.name, path)
        by_name[path.relative_to(folder).as_posix()] = path
    places: dict[str, Path] = {}
    missing: list[str] = []
    for file in files:
        name = file.replace("\\", "/").removeprefix("./")
        if name in by_name:
            places[file] = by_name[name]
        elif ".." not in Path(name).parts and (folder / name).is_file():
            places[file] = folder / name
        else:
            missing.append(file)
    if missing:
        raise DataError(
            f"{table} names {len(missing)} files that are not there: {several(missing)}"
        )
    return places


def _say_unnamed(table: Path, folder: Path, there: list[Path], named: set[Path]) -> str:
    """A sentence about the pictures that are there and not in the table; empty without any."""
    files = [path.relative_to(folder).as_posix() for path in there if path not in named]
    if not files:
        return ""
    pictures = "1 picture is" if len(files) == 1 else f"{len(files)} pictures are"
    return f"{pictures} not in {table.name} and left out: {several(files, 5)}."
