"""What a LeNet-5 is: three networks in one frame."""

import inspect
from typing import Any

from lenet.errors import InputError, suggestion
from lenet.networks.frame import LAYERS, LeNet
from lenet.networks.lecun1998 import LeCun1998
from lenet.networks.modern import Modern
from lenet.networks.tutorial import LeNet5, Tutorial

NETWORKS: dict[str, type[LeNet]] = {
    network.name: network for network in (Tutorial, Modern, LeCun1998)
}

__all__ = ["LAYERS", "NETWORKS", "LeNet", "LeNet5", "build_network", "list_options"]


def build_network(name: str, num_classes: int = 10, **options: Any) -> LeNet:
    """A network by its name, with `torch.nn`'s own initialisation.

    Parameters
    ----------
    name : {"tutorial", "modern", "lecun1998"}
    num_classes : int
    **options
        The network's own: see `Tutorial`, `Modern`, `LeCun1998`.

    Returns
    -------
    network : LeNet
        On the CPU, in training mode, float32.

    Raises
    ------
    InputError
        When the name or an option is unknown, or a value is out of range.
    """
    known = list_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f"takes {', '.join(sorted(known))}" if known else "takes no options"
        raise InputError(f"{name} has no option {', '.join(unknown)}; it {takes}")
    return NETWORKS[name](num_classes, **options)


def list_options(name: str) -> dict[str, inspect.Parameter]:
    """What a network can be built with beside its number of classes: each option as declared.

    Parameters
    ----------
    name : {"tutorial", "modern", "lecun1998"}

    Raises
    ------
    InputError
        When the name is unknown.
    """
    if name not in NETWORKS:
        hint = suggestion(name, NETWORKS)
        raise InputError(f"network {name!r} is unknown; use one of {', '.join(NETWORKS)}{hint}")
    parameters = inspect.signature(NETWORKS[name]).parameters
    return {option: p for option, p in parameters.items() if option != "num_classes"}
