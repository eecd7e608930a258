"""Write the map in CONTRIBUTING.md: each source file and the first sentence of its docstring."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lenet"
PAGE = ROOT / "CONTRIBUTING.md"
DIRECTION = ROOT / "docs" / "decisions" / "0005-one-direction.md"
MARKED = re.compile(r"(<!-- map -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMN = 24
NOT_PYTHON = {
    "locale/": "What the program says, in other languages.",
    "locale/zh.json": "In Chinese: each English sentence, its holes numbered, and its translation.",
    "networks/rbf_bitmaps.json": "The 7×12 characters of Fig. 3, as the output's fixed weights.",
    "report.css": "How the report looks.",
    "py.typed": "Says to type checkers that the package is annotated.",
    "weights/": "The pretrained weights, each with its card.",
}


def rooms() -> list[str]:
    """The rooms as decision 0005 has them, so that each imports only from those before it."""
    (row,) = re.findall(r"^ {4}(.* → (?:.|\n)*?)\n\n", DIRECTION.read_text("utf-8"), re.MULTILINE)
    return re.findall(r"\w+", row)


def sentence(path: Path) -> str:
    """The first of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return re.split(r"(?<=\.)\s(?=[A-Z`])", " ".join(text.split("\n\n")[0].split()))[0]


def entries() -> dict[str, str]:
    """Every file and folder of the package, its path below `src/lenet`, and what it is."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        found[place.removesuffix("__init__.py")] = sentence(path)
    return found | NOT_PYTHON


def tree() -> str:
    """The map: rooms in their order, within a room by name, what is no room last."""
    order = rooms()

    def place(path: str) -> tuple[int, str]:
        room = path.split("/")[0].removesuffix(".py")
        return (order.index(room) if room in order else len(order) if path else -1), path

    lines = []
    for path, what in sorted(entries().items(), key=lambda item: place(item[0])):
        *folders, name = path.rstrip("/").split("/")
        end = "/" if path.endswith("/") or not path else ""
        label = "  " * (len(folders) + bool(path)) + (name or "src/lenet") + end
        lines.append(f"{label:{COLUMN}} {what}")
    return "```\n" + "\n".join(lines) + "\n```\n"


def render(text: str) -> str:
    """The page with the map as the source has it now."""
    return MARKED.sub(lambda m: f"{m[1]}{tree()}{m[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")
