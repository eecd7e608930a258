"""What of a training was typed: flags and `--set NAME=VALUE`, each kept with how it was written."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lenet.errors import InputError, SettingError


def read_changes(
    flags: Mapping[str, Any], pairs: Sequence[str], network: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """What is to be changed, and how each was typed.

    Parameters
    ----------
    flags : mapping
        Values of the options that have a flag of their own, by the recipe's field; None where the
        user gave none.
    pairs : sequence of str
        The ``NAME=VALUE`` of every `--set`.
    network : str

    Returns
    -------
    changes : dict
        As `lenet.runs.create_run` takes them.
    typed : dict
        The same names, without what stands before a point, as they were written.

    Raises
    ------
    InputError
        When a pair is none, its name is unknown, its value of the wrong kind, or something was
        given twice.
    """
    from lenet.training.changes import find_name, read_value

    changes = {name: value for name, value in flags.items() if value is not None}
    typed = {name: f"--{name.replace('_', '-')}" for name in changes}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set takes NAME=VALUE, such as --set dropout=0.2, got {pair!r}")
        full = find_name(name.strip(), network)
        short = full.rpartition(".")[2]
        if full in changes:
            raise InputError(f"{full} is given twice: by {typed[short]} and by --set {name}")
        typed[short] = f"--set {name}"
        with as_typed(typed):
            changes[full] = read_value(full, text, network)
    return changes, typed


@contextlib.contextmanager
def as_typed(typed: Mapping[str, str]) -> Iterator[None]:
    """An error about a setting names it as it was typed."""
    try:
        yield
    except SettingError as error:
        if error.name not in typed:
            raise
        raise InputError(f"{typed[error.name]} {error.problem}") from error


def read_amount(text: str) -> int | float:
    """What `--validation` takes: a number of images, or a fraction below 1.

    Raises
    ------
    InputError
        When it is neither.
    """
    with contextlib.suppress(ValueError):
        amount = int(text) if text.isdecimal() else float(text)
        if isinstance(amount, int) or 0 <= amount < 1:
            return amount
    raise InputError(
        f"--validation must be a fraction from 0 to below 1, or a whole number of images, "
        f"got {text!r}"
    )


def network_of(weights: str | None) -> str:
    """The name of the network that weights are of."""
    from lenet.checkpoints import load_checkpoint

    assert weights is not None
    return load_checkpoint(weights).network.name
