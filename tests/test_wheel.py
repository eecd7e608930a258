"""What a user gets: the wheel, with weights and bitmaps inside and no data set."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lenet"
MEGABYTE = 2**20


def python(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """Run this interpreter; the output is shown where it fails."""
    run = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline, by the backend that pyproject.toml names."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_holds_every_source_file_and_the_weights(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    expected = {path.relative_to(PACKAGE.parent).as_posix() for path in sources}
    assert expected <= names
    assert {"lenet/py.typed", "lenet/networks/rbf_bitmaps.json"} <= names
    assert any(name.endswith("entry_points.txt") for name in names)


def test_holds_the_trained_networks_each_with_its_card(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel)
    sizes = {info.filename: info.file_size for info in inside.infolist()}
    for name in (
        "digits",
        "mnist",
        "fashion-mnist",
        "fashion-mnist-tutorial",
        "lecun1998",
        "lecun1998-distorted",
    ):
        assert sizes[f"lenet/weights/{name}.safetensors"] <= 300 * 1024
        assert f"lenet/weights/{name}.json" in sizes


def test_holds_no_test_and_no_data_set(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "test" in name.split("/")[0].lower()]
    assert not [name for name in names if name.endswith((".gz", "-ubyte", ".npz", ".pth"))]
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assert wheel.stat().st_size < 3 * MEGABYTE


def test_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    pip = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel)
    python(*pip, cwd=tmp_path)
    code = (
        "import lenet, pathlib, importlib.metadata as m\n"
        "from lenet.networks import build_network, codes\n"
        "print(pathlib.Path(lenet.__file__).parent)\n"
        "print(sum(p.numel() for p in build_network('tutorial').parameters()))\n"
        "print(tuple(codes.encode().shape), m.version('lenet'))\n"
    )
    path, parameters, shape = python("-c", code, cwd=tmp_path, PYTHONPATH=str(target)).splitlines()
    assert Path(path) == target / "lenet"
    assert parameters == "61706"
    assert shape.startswith("(10, 84) ")
