import os
import stat
import sys
from pathlib import Path

import pytest

from lenet.errors import LenetError
from lenet.files import write_atomic


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LenetError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    path.write_bytes(b"old")

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error_with_the_path(tmp_path):
    with pytest.raises(LenetError, match="nowhere"):
        write_atomic(tmp_path / "nowhere" / "file", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("place", ["", ".", "/"])
def test_a_folder_is_no_file(place):
    with pytest.raises(LenetError, match="it is a folder"):
        write_atomic(Path(place), b"new")


def test_the_mode_is_what_the_umask_leaves(path):
    before = os.umask(0o027)
    try:
        write_atomic(path, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_return(path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, type(path).replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda d: (
            steps.append("folder" if stat.S_ISDIR(os.fstat(d).st_mode) else "file") or fsync(d)
        ),
    )
    monkeypatch.setattr(type(path), "replace", lambda a, b: steps.append("rename") or replace(a, b))
    write_atomic(path, b"new")
    assert steps == (
        ["file", "rename"] if sys.platform == "win32" else ["file", "rename", "folder"]
    )
