"""The networks in torch, by their names."""

from collections.abc import Callable
from typing import Any

from lenet.networks.frame import LeNet
from lenet.networks.lecun1998 import LeCun1998
from lenet.networks.modern import Modern
from lenet.networks.plans import plan_network
from lenet.networks.tutorial import Tutorial

NETWORKS: dict[str, type[LeNet]] = {
    network.name: network for network in (Tutorial, Modern, LeCun1998)
}


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
    plan = plan_network(name, num_classes, **options)
    network: Callable[..., LeNet] = NETWORKS[name]
    return network(plan.num_classes, **plan.options)
