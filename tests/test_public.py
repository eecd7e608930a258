"""The package's door: every public name opens, is documented and does what the READMEs say."""

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lenet

ROOT = Path(__file__).parents[1]
NAMES = [name for name in lenet.__all__ if name != "__version__"]
READMES = ("README.md", "README.zh-CN.md")
SECTION = re.compile(r"^([A-Z][a-z]+)\n-+\n", re.MULTILINE)


def sections(value):
    """A numpydoc docstring's sections, by their headings."""
    parts = SECTION.split(inspect.getdoc(value))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(body):
    """The names a section of parameters describes."""
    heads = [line.split(" :")[0] for line in body.splitlines() if line and not line[0].isspace()]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def parameters(value):
    return [name for name in inspect.signature(value).parameters if name != "self"]


def takes(value):
    """Whether it is called with something that its own docstring has to explain."""
    return not (inspect.isclass(value) and issubclass(value, Exception))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(lenet, name)
    assert value.__name__ == name
    assert value.__doc__


@pytest.mark.parametrize("name", [name for name in NAMES if takes(getattr(lenet, name))])
def test_the_docstring_of_a_public_name_describes_its_parameters(name):
    value = getattr(lenet, name)
    assert documented(sections(value).get("Parameters", "")) == parameters(value)


def methods():
    """Of public classes, the public methods that are written in the class itself."""
    return [
        f"{name}.{key}"
        for name in NAMES
        if inspect.isclass(value := getattr(lenet, name))
        for key in vars(value)
        if not key.startswith("_") and inspect.isroutine(getattr(value, key))
    ]


@pytest.mark.parametrize("name", methods())
def test_a_public_method_is_documented_and_names_no_parameter_that_it_lacks(name):
    owner, key = name.split(".")
    method = getattr(getattr(lenet, owner), key)
    described = sections(method).get("Parameters")
    assert described is None or documented(described) == parameters(method)


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(getattr(lenet, n))])
def test_the_docstring_of_a_public_function_says_what_it_returns(name):
    value = getattr(lenet, name)
    nothing = inspect.signature(value).return_annotation is None
    assert ("Returns" in sections(value)) != nothing


@pytest.mark.parametrize("name", [name for name in NAMES if takes(getattr(lenet, name))])
def test_the_docstring_of_a_public_name_that_raises_says_what(name):
    value = getattr(lenet, name)
    assert "Raises" in sections(value) or not raises(value)


def raises(value):
    """Whether the function, or what makes an object of the class, has a `raise` of its own."""
    if inspect.isclass(value):
        value = getattr(value, "__post_init__", value.__init__)
    if not hasattr(value, "__code__") or value.__code__.co_filename.startswith("<"):
        return False  # written by `dataclass`
    body = ast.parse(textwrap.dedent(inspect.getsource(value)))
    return any(isinstance(node, ast.Raise) for node in ast.walk(body))


@pytest.mark.parametrize("readme", READMES)
def test_every_name_of_a_readme_is_public(readme):
    promised = set(re.findall(r"\blenet\.([A-Za-z_]\w*)", (ROOT / readme).read_text("utf-8")))
    assert len(promised) >= 6
    assert promised <= set(lenet.__all__)


def test_both_readmes_have_the_same_python():
    english, chinese = ([without_remarks(b) for b in python_blocks(name)] for name in READMES)
    assert len(english) == 3
    assert english == chinese


def python_blocks(readme):
    text = (ROOT / readme).read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def without_remarks(block):
    return ast.unparse(ast.parse(block))


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    """With one epoch for each training: what is shown is how, not how well."""
    monkeypatch.chdir(tmp_path)
    picture = np.full((60, 60), 220, np.uint8)
    picture[10:50, 28:32] = 20
    Image.fromarray(picture).save("photo.jpg")
    recipe, estimator, fit = lenet.default_recipe, lenet.LeNetClassifier, lenet.fit
    monkeypatch.setattr(
        lenet, "default_recipe", lambda *of: dataclasses.replace(recipe(*of), epochs=1)
    )
    monkeypatch.setattr(
        lenet, "LeNetClassifier", lambda **options: estimator(epochs=1, engine="torch", **options)
    )
    monkeypatch.setattr(lenet, "fit", lambda data: fit(data, changes={"epochs": 1}, verbose=False))
    first, loop, scikit_learn = python_blocks("README.md")
    names = {}
    exec(compile(first, "README.md", "exec"), names)
    assert names["prediction"].label == "1"
    assert not names["network"].training
    assert lenet.Classifier.load("digits.safetensors").class_names == tuple("0123456789")
    exec(compile(scikit_learn, "README.md", "exec"), names)
    assert "lenet.fuse" in loop  # run by test_own_loop


def test_what_type_checkers_see_is_what_is_there():
    tree = ast.parse(Path(lenet.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("lenet.")
        for node in block.body
        for alias in node.names
    }
    assert seen == lenet._HOME_OF


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lenett'"):
        _ = lenet.lenett


def test_dir_lists_what_was_not_used_yet():
    assert set(lenet.__all__) <= set(dir(lenet))


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert lenet.__version__ == version("lenet")


def test_dir_shows_the_public_names_and_no_other():
    shown = [name for name in dir(lenet) if not name.startswith("__")]
    assert shown == sorted(NAMES)
    assert "__version__" in dir(lenet)
