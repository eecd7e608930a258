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

__all__ = ["LAYERS", "NETWORKS", "LeNet", "LeNet5", "build_network"]


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
    if name not in NETWORKS:
        hint = suggestion(name, NETWORKS)
        raise InputError(f"network {name!r} is unknown; use one of {', '.join(NETWORKS)}{hint}")
    network = NETWORKS[name]
    known = set(inspect.signature(network).parameters) - {"num_classes"}
    unknown = sorted(set(options) - known)
    if unknown:
        takes = f"takes {', '.join(sorted(known))}" if known else "takes no options"
        raise InputError(f"{name} has no option {', '.join(unknown)}; it {takes}")
    return network(num_classes, **options)
