"""A near miss is suggested, and only a near miss."""

import pytest

from lenet.errors import suggestion

KNOWN = ("mnist", "fashion-mnist", "digits")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("mnits", "mnist"), ("fashion_mnist", "fashion-mnist"), ("digit", "digits")],
)
def test_a_near_miss_is_suggested(name, meant):
    assert suggestion(name, KNOWN) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("name", ["", "cifar", "/nowhere/at/all", "x" * 5000])
def test_anything_else_is_not(name):
    assert suggestion(name, KNOWN) == ""


def test_nothing_is_suggested_where_nothing_is_known():
    assert suggestion("mnist", {}) == ""
