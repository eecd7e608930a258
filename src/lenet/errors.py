"""Errors that a user can cause or meet: each says what, where and what to do next."""

import difflib
from collections.abc import Iterable


class LenetError(Exception):
    """Anything that went wrong in a way a user can read; the command line exits with 1."""

    exit_code = 1


class InputError(LenetError, ValueError):
    """A value or a file given by the user cannot be used; the command line exits with 2."""

    exit_code = 2


class SettingError(InputError):
    """A number or a choice that a training is made with is out of its range.

    Parameters
    ----------
    name : str
        The field of the recipe, the option of the network or the limit of the distortions.
    problem : str
        What it must be and what it is; the message is the name and this.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name, self.problem = name, problem


class ShapeError(InputError):
    """An array has a shape that the network or the function does not take."""


class DataError(InputError):
    """A data set, an IDX file or a folder of pictures cannot be used."""


class PictureError(InputError):
    """A picture cannot be read."""


class CheckpointError(InputError):
    """A weight file cannot be used."""


class RunError(InputError):
    """A run folder cannot be written, read or resumed."""


class DownloadError(LenetError):
    """No mirror gave the file that was asked for."""


class EngineError(LenetError):
    """The engine asked for cannot run this network here."""


class LenetWarning(UserWarning):
    """Something works, but not as well as it could, or not surely as it was meant."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """How a message about an unknown name ends: `; did you mean 'mnist'?`, or nothing.

    Parameters
    ----------
    name : str
        What was asked for.
    known : iterable of str
        What there is.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
