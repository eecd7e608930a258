"""The pages and the forge's files say what is true of the code beside them."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from test_imports import ORDER

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_workflow_runs_the_commands_of_the_readme():
    by_hand = re.search(r"```bat\n(.*?)```", README, re.DOTALL)[1]
    commands = ["make test", *by_hand.replace("py -m venv", "python -m venv").splitlines()]
    assert len(commands) == 5
    assert [command for command in commands if command not in WORKFLOW] == []


def test_the_workflow_runs_every_python_that_is_promised():
    named = {c.removeprefix("Programming Language :: Python :: ") for c in classifiers()}
    promised = sorted((name for name in named if "." in name), key=lambda n: int(n[2:]))
    assert f"python: {promised}".replace("'", '"') in WORKFLOW
    assert f"Python {promised[0]} to {promised[-1]}" in README


def classifiers() -> list[str]:
    return [c for c in PROJECT["project"]["classifiers"] if "Python ::" in c]


def test_a_commit_is_checked_by_the_ruff_that_is_tested_with():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    pinned = re.search(r"^ruff==(.*)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert f"ruff-pre-commit\n    rev: v{pinned[1]}\n" in hooks


def test_the_page_on_the_paper_lists_every_silent_and_departs():
    source = ROOT / "src" / "lenet"
    tagged = [
        (path.relative_to(source).as_posix(), tag)
        for path in source.rglob("*.py")
        for tag in re.findall(r"\b(Silent|Departs):", path.read_text("utf-8"))
    ]
    assert len(tagged) > 5
    for name in ("paper.md", "paper.zh-CN.md"):
        page = (ROOT / "docs" / name).read_text("utf-8")
        listed = re.findall(r"^\| `(\S+\.py)` \| (Silent|Departs) \|", page, re.MULTILINE)
        assert sorted(listed) == sorted(tagged), name


@pytest.fixture(scope="module")
def source_map() -> ModuleType:
    spec = importlib.util.spec_from_file_location("source_map", ROOT / "docs" / "map.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_map_is_as_the_source_has_it(source_map):
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert source_map.render(text) == text, "the map is stale: run `make tables`"


def test_the_map_names_each_file_once_and_no_other(source_map):
    folders, named = [], []
    for line in source_map.tree().splitlines()[2:-1]:
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        name = line.split()[0]
        folders[depth:] = [name] if name.endswith("/") else []
        named.append("".join(folders) + ("" if name.endswith("/") else name))
    package = ROOT / "src" / "lenet"
    files = {p.relative_to(package).as_posix() for p in package.rglob("*") if p.suffix != ".pyc"}
    files = {name for name in files if (package / name).is_file()}
    assert len(named) == len(set(named))
    assert {name for name in named if not name.endswith("/")} <= files
    unnamed = {name for name in files - set(named) if not name.endswith("__init__.py")}
    assert {name for name in unnamed if not name.startswith("weights/")} == set()


def test_decision_0005_has_the_rooms_in_the_order_that_is_tested(source_map):
    assert tuple(source_map.rooms()) == ORDER
