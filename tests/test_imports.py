"""The house rules that a reader relies on: one direction, light imports, who prints, who writes."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lenet

PACKAGE = Path(lenet.__file__).parent
ORDER = (
    "errors",
    "language",
    "files",
    "machine",
    "threads",
    "evaluation",
    "data",
    "mistakes",
    "networks",
    "kernels",
    "engines",
    "trust",
    "state_dicts",
    "packing",
    "checkpoints",
    "training",
    "answers",
    "classifier",
    "estimator",
    "figures",
    "runs",
    "report",
    "progress",
    "fitting",
    "cross_validation",
    "export",
    "benchmark",
    "reproduction",
    "cli",
)
DOOR = {"__init__", "__main__"}  # opens every room; belongs to none
MAY_PRINT = {"cli", "progress"}
PROGRAMS = {"benchmark/first_use", "benchmark/training_memory"}  # answer who started them
MAY_WRITE = {
    "files",
    "data",
    "checkpoints",
    "figures",
    "runs",
    "report",
    "benchmark",
    "reproduction",
}
NETWORK = {"urllib", "http", "socket", "ssl", "ftplib", "requests", "pooch", "httpx"}
WRITERS = {"write_text", "write_bytes", "mkdir", "unlink", "rmdir", "touch", "symlink_to"}
WRITING_MODULES = {"shutil", "tempfile"}
HEAVY = ("torch", "halide", "matplotlib", "sklearn", "scipy", "numpy", "PIL", "onnxruntime")

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in PACKAGE.rglob("*.py")
}


def room(module: str) -> str:
    return module.split("/")[0]


def imports(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported anywhere in the file."""
    package = ["lenet", *module.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in MODULES.items()}


def outside(*rooms: str) -> pytest.MarkDecorator:
    """Every module but those of some rooms."""
    modules = [module for module in sorted(MODULES) if room(module) not in rooms]
    return pytest.mark.parametrize("module", modules)


def test_every_module_is_in_a_room_and_every_room_has_one() -> None:
    assert {room(module) for module in MODULES} - DOOR == set(ORDER)


@outside(*DOOR)
def test_imports_only_from_rooms_to_the_left(module: str) -> None:
    here = ORDER.index(room(module))
    wrong = []
    for line, name in imports(TREES[module], module):
        parts = name.split(".")
        if parts[0] != "lenet" or len(parts) == 1:
            continue
        if parts[1] not in ORDER:  # a public name through the door: cyclic for all but the last
            if room(module) != ORDER[-1]:
                wrong.append(f"line {line}: {name} through lenet/__init__")
        elif ORDER.index(parts[1]) > here:
            wrong.append(f"line {line}: {name} is to the right of {room(module)}")
    assert not wrong


def module_of(name: str) -> str | None:
    """`data/splits` for `lenet.data.splits` and for `lenet.data.splits.Split`."""
    path = name.removeprefix("lenet.").replace(".", "/")
    places = (
        path,
        f"{path}/__init__",
        path.rpartition("/")[0],
        path.rpartition("/")[0] + "/__init__",
    )
    return next((place for place in places if place in MODULES), None)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module, tree in TREES.items():
        if room(module) in DOOR:
            continue
        needed = (module_of(name) for _, name in imports(tree, module))
        graph[module] = {other for other in needed if other is not None}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle


@outside(*MAY_PRINT, *DOOR)
def test_only_the_command_line_prints(module: str) -> None:
    tree = TREES[module]
    prints = [
        f"line {node.lineno}: {ast.unparse(node)[:60]}"
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "print")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr"})
    ]
    assert not prints or module in PROGRAMS
    assert not [name for _, name in imports(tree, module) if name.split(".")[0] == "rich"]


def test_only_downloads_use_the_network() -> None:
    users = {
        module
        for module, tree in TREES.items()
        if {name.split(".")[0] for _, name in imports(tree, module)} & NETWORK
    }
    assert users == {"data/downloads"}


@outside(*MAY_WRITE)
def test_only_the_rooms_for_it_write_files(module: str) -> None:
    tree = TREES[module]
    writes = [
        f"line {node.lineno}: {ast.unparse(node)[:60]}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and "os.devnull" not in ast.unparse(node)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS)
            or ast.unparse(node.func) in {"open", "os.replace", "os.rename", "os.makedirs"}
        )
    ]
    assert not writes
    assert not {name.split(".")[0] for _, name in imports(tree, module)} & WRITING_MODULES


@outside()
def test_every_module_opens_with_what_it_is(module: str) -> None:
    sentence = (ast.get_docstring(TREES[module]) or "").split("\n\n")[0]
    assert sentence.endswith(".")
    assert len(sentence) > 15


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `code`."""
    report = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import lenet") & set(HEAVY)


def test_the_built_in_digits_need_neither_scikit_learn_nor_torch() -> None:
    code = "from lenet.data.datasets import load_dataset\nload_dataset('digits')"
    assert not loaded_by(code) & {"sklearn", "scipy", "torch"}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom lenet.cli import main\n"
        f"sys.argv = {['lenet', *arguments]!r}\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert not exit.code, exit.code"
    )
    assert not loaded_by(code) & set(HEAVY)
