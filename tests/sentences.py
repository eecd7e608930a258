"""Every text of the package that reaches a person: from its syntax trees, its help, its cards."""

import ast
import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import typer
from typer import rich_utils

import lenet
from lenet.cli import app
from lenet.cli.languages import RICH_TEXTS, USAGE
from lenet.data.distortions import Distortions
from lenet.networks.plans import PLANS, list_options
from lenet.training.recipes import Recipe

PACKAGE = Path(lenet.__file__).parent
CARDS = [json.loads(path.read_text("utf-8")) for path in (PACKAGE / "weights").glob("*.json")]
HOLE = re.compile(r"\{[^{}]*\}")

SILENT_MODULES = {
    "benchmark/training_memory": "answers the process that started it",
    "kernels/layout": "names of dimensions",
    "kernels/walk": "names of dimensions",
    "networks/__init__": "an AttributeError, for programmers",
    "engines/__init__": "an AttributeError, for programmers",
    "__init__": "an AttributeError, for programmers",
}
SILENT_FUNCTIONS = {"__repr__", "_repr_html_"}  # for programmers
SILENT = re.compile(
    r"""
    < | es$ | \{0\}[ ]kB$ | report\.html$                      # HTML, plurals, units, files
    | (lenet[ ](predict|train|evaluate|\{0\})|--[a-z]+)([ ]|$)  # commands
    | \^ | Glyph[ ] | [ ]\\ | ;[ ].*\\1 | [.;][ ][Dd]id[ ]you[ ]mean$  # regular expressions
    | (Callable|tuple)\[ | .*[ ]\|[ ]\w+$                       # types
    | \.\w+[ ]\.\w+                                             # suffixes of files
    | (auto|cpu|\{0\}_accuracy|axes[ ]fraction|offset[ ]points|DejaVu[ ]Sans|model[ ]name)$  # keys
    | share[ ]of[ ]the[ ]recipe's[ ]rate$ | Ankle[ ]boot$       # a key, a class
    | as[ ]many[ ]points[ ]as | a[ ]layer[ ]without[ ]a[ ]rule  # assertions
    """,
    re.VERBOSE,
)
SHOWING = {  # functions that show a person what they are given, be it a single word
    *("show_table", "_table", "_Column", "show", "say", "wait"),
    *("set_xlabel", "set_ylabel", "set_title", "supxlabel", "supylabel", "annotate", "_axes"),
    *("_title", "_part", "heading", "_scrollable"),
}
LISTING = {"_facts", "_commands", "_figures"}  # functions whose dictionaries have shown keys
WORDS = {  # that fill a sentence's hole, or stand in a table's cell
    *("train", "validation", "test", "Test", "Training", "none"),
    *("missing", "damaged", "ready", "interrupted", "training", "rejected, %", "total"),
    *("Loss", "Accuracy", "Next", "Probabilities", "points"),
    *(
        "one",
        "inference",
        "all",
        "verified",
        "reproduced",
        "better",
        "worse",
        "penalty",
        "confidence",
    ),
    *("garments", "letters", "noise", "blank"),
    *("{0} pass{1}", "{0} seed{1}"),
}
OTHERS = {  # sentences of typer's and of the system's
    *("no such option: {0}", "no such command {0}", "missing argument {0}", "missing option {0}"),
    *("missing command", "invalid value for {0}: {1}", "option {0} requires an argument"),
    *("option {0} does not take a value", "got unexpected extra argument ({0})"),
    *("{0} is not in the range {1}", "Show this message and exit.", "No such file or directory"),
    *("Permission denied", "No space left on device", "Is a directory", "Not a directory"),
    *("Input should be greater than or equal to {0}", "Input should be less than or equal to {0}"),
    *("File exists", "Read-only file system"),
}


def find_sentences() -> dict[str, str]:
    """Every text that needs a translation, and where it is said."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        if module not in SILENT_MODULES:
            for text in _said_by(ast.parse(path.read_text("utf-8"))):
                found.setdefault(text, module)
    command = typer.main.get_command(app)
    helps = [*_helps(command), *USAGE, *(getattr(rich_utils, name) for name in RICH_TEXTS)]
    # A help text with names filled in is in the source as a template.
    templates = [text for text in found if HOLE.search(text) and len(_words(text)) > 5]
    others = {
        "help": [text for text in helps if not any(_fits(one, text) for one in templates)],
        "typer": OTHERS,
        "names": [f"{name.replace('_', ' ')} {{0}}" for name in _names()],
        "cards": [key.replace("_", " ") for card in CARDS for key in card]
        + [text for card in CARDS for text in (card["limits"], card["chosen"])],
        "words": WORDS,
    }
    return {text: where for where, texts in others.items() for text in texts} | found


def _said_by(tree: ast.AST) -> Iterator[str]:
    """The sentences of a module, and the single words it shows."""
    for node in _texts(tree):
        yield from filter(_is_sentence, _pieces(_template(node)))
    for node in ast.walk(tree):
        shown: list[ast.expr] = []
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SHOWING:
                shown = node.args
            case ast.Assign(targets=[ast.Name(id="head")]):
                shown = [node.value]
            case ast.FunctionDef(name=name) if name in LISTING:
                dictionaries = (each for each in ast.walk(node) if isinstance(each, ast.Dict))
                shown = [key for each in dictionaries for key in each.keys if key is not None]
        for text in itertools.chain.from_iterable(map(_texts, shown)):
            yield from filter(_words, _pieces(_template(text)))


def _texts(tree: ast.AST) -> Iterator[ast.JoinedStr | ast.Constant]:
    """Whole texts that are no docstrings."""
    others: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) if name in SILENT_FUNCTIONS:
                others.update(ast.walk(node))
            case ast.Expr(value=ast.Constant() as docstring):
                others.add(docstring)
            case ast.JoinedStr():
                others.update(part for part in node.values if isinstance(part, ast.Constant))
            case ast.FormattedValue(format_spec=ast.JoinedStr() as spec):
                others |= {spec, *spec.values}
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() | ast.Constant(value=str()) if node not in others:
                yield node


def _template(node: ast.JoinedStr | ast.Constant) -> str:
    """The text with {} where something is filled in."""
    if isinstance(node, ast.Constant):
        return node.value
    return "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)


def _pieces(text: str) -> Iterator[str]:
    """The parts of a text that are looked up by themselves, their holes numbered."""
    if SILENT.match(_numbered(text)):
        return
    # A sentence stands for itself; what else begins with a blank continues what is before it.
    if re.match(r" (?! )", text) and not text.strip()[:1].isupper():
        yield _numbered(f" {text.strip()}")
    else:
        yield from map(_numbered, re.split(r"\n| {2,}", re.sub(r"^ (?! )", "", text)))


def _numbered(text: str) -> str:
    count = itertools.count()
    return HOLE.sub(lambda _: f"{{{next(count)}}}", text)


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{2,}", HOLE.sub(" ", text))


def _is_sentence(text: str) -> bool:
    spaced = " " in text.strip() or text.startswith(" ")
    return spaced and len(_words(text)) >= (1 if HOLE.search(text) else 2)


def _fits(template: str, text: str) -> bool:
    """Whether the text is the template, with something in its holes."""
    return re.fullmatch("(?s:.+)".join(map(re.escape, HOLE.split(template))), text) is not None


def _helps(command: typer.core.TyperCommand) -> Iterator[str]:
    yield command.help or ""
    yield from (parameter.help for parameter in command.params if parameter.help)
    for inner in getattr(command, "commands", {}).values():
        yield from _helps(inner)


def _names() -> Iterator[str]:
    """What is written before a value: names of settings, and of what is on cards."""
    for kind in (Recipe, Distortions):
        yield from (field.name for field in dataclasses.fields(kind) if field.name != "distortions")
    for network in PLANS:
        yield from list_options(network)
    for card in CARDS:
        inner = (each for each in card.values() if isinstance(each, dict))
        yield from (key for each in inner for key in each if key != "sha256" and not key.isdigit())
