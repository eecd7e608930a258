"""What a LeNet-5 is: three networks in one frame.

Their plans need no torch, and importing this room loads none: the networks themselves are looked up
when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lenet.networks.sizes import LAYERS

if TYPE_CHECKING:
    from lenet.networks.classes import NETWORKS as NETWORKS
    from lenet.networks.classes import build_network as build_network
    from lenet.networks.frame import LeNet as LeNet
    from lenet.networks.tutorial import LeNet5 as LeNet5

__all__ = ["LAYERS", "NETWORKS", "LeNet", "LeNet5", "build_network"]

_HOME_OF = {
    "LeNet": "frame",
    "LeNet5": "tutorial",
    "NETWORKS": "classes",
    "build_network": "classes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
