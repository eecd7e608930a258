"""The package's door: every public name opens, nothing else does."""

import ast
from pathlib import Path

import pytest

import lenet

NAMES = [name for name in lenet.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(lenet, name)
    assert value.__name__ == name
    assert value.__doc__


def test_names_that_the_documentation_promises():
    promised = {
        "build_network", "summarize", "load_dataset", "train", "Recipe", "evaluate", "Evaluation",
        "Classifier", "Prediction", "LeNetClassifier", "load_checkpoint", "save_checkpoint", "fuse",
        "LenetError", "__version__",
    }  # fmt: skip
    assert promised <= set(lenet.__all__)


def test_what_type_checkers_see_is_what_is_there():
    tree = ast.parse(Path(lenet.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("lenet.")
        for node in block.body
        for alias in node.names
    }
    assert seen == lenet._ROOMS


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lenett'"):
        _ = lenet.lenett


def test_dir_lists_what_was_not_used_yet():
    assert set(lenet.__all__) <= set(dir(lenet))


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert lenet.__version__ == version("lenet")
