"""A network as it is stored and passed around: its plan and its weights, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.networks.plans import Plan

if TYPE_CHECKING:
    from lenet.networks.frame import LeNet


@dataclass(frozen=True, eq=False)
class Model:
    """A network's plan and its weights.

    Parameters
    ----------
    plan : Plan
    weights : mapping of str to array
        Exactly the arrays of the plan, by their dotted names.

    Raises
    ------
    InputError
        When a name, a shape or a type is not the plan's, a value is not finite, or a variance is
        negative.
    """

    plan: Plan
    weights: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        expected, found = self.plan.shapes, self.weights
        if set(found) != set(expected):
            raise InputError(
                f"weights do not fit {self.plan.name}: missing {sorted(set(expected) - set(found))}"
                f", unknown {sorted(set(found) - set(expected))}"
            )
        for name, (shape, kind) in expected.items():
            array = found[name]
            if array.shape != shape or array.dtype != kind:
                raise InputError(f"{name} must be {shape} {kind}, got {array.shape} {array.dtype}")
            if not np.isfinite(array).all():
                raise InputError(f"{name} holds NaN or infinity")
            if name.endswith("running_var") and (array < 0).any():
                raise InputError(f"{name} holds a negative variance")

    @classmethod
    def of(cls, network: "LeNet") -> "Model":
        """A network's weights as they are now, copied.

        Raises
        ------
        InputError
            When the network is not what its name and options say: a layer was replaced, has other
            settings or a hook. Or when a weight is not finite.
        """
        from lenet.networks.rebuild import check_rebuildable

        check_rebuildable(network)
        state = network.state_dict().items()
        return cls(network.plan, {name: t.detach().cpu().numpy().copy() for name, t in state})

    def build(self) -> "LeNet":
        """The network in torch, on the CPU and in evaluation mode; torch's generator is left alone.

        No thread of torch's is started: a process may fork afterwards.
        """
        import torch

        from lenet.networks.classes import build_network
        from lenet.threads import one_torch_thread

        plan = self.plan
        with torch.random.fork_rng(devices=[]), one_torch_thread():
            network = build_network(plan.name, plan.num_classes, **plan.options)
            arrays = {name: np.array(array) for name, array in self.weights.items()}
            network.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
        return network.eval()
