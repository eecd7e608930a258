"""What a LeNet is made of: the 1998 layers that today's libraries lack, and names for the rest."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lenet.errors import InputError
from lenet.networks.activations import AMPLITUDE, SLOPE
from lenet.networks.parts import Subsampled
from lenet.networks.sizes import TABLE_I, Table

T = TypeVar("T")


class ScaledTanh(nn.Module):
    """f(a) = A tanh(S a) with f(±1) = ±1.

    References
    ----------
    LeCun et al. 1998, Sec. II.B and Appendix A.
    """

    amplitude = AMPLITUDE
    slope = SLOPE

    def forward(self, x: Tensor) -> Tensor:
        """Squash `x` of any shape."""
        return self.amplitude * torch.tanh(self.slope * x)


class Subsampling(nn.Module):
    """Trainable 2×2 pooling: four inputs added (or averaged), times a coefficient, plus a bias.

    Parameters
    ----------
    maps : int
        Number of feature maps; one coefficient and one bias each.
    mode : {"added", "averaged"}
        Paper: Sec. II.A says averaged, Sec. II.B (layer S2) says added. The same family of
        functions, another starting range and another step.

    References
    ----------
    LeCun et al. 1998, Sec. II.A and II.B.
    """

    size = 2

    def __init__(self, maps: int, mode: str = "added") -> None:
        super().__init__()
        self.part = Subsampled(maps, mode)
        self.coefficient = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√fan-in, as `torch.nn` starts its layers."""
        bound = 1 / self.size
        nn.init.uniform_(self.coefficient, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @property
    def mode(self) -> str:
        """`added` or `averaged`."""
        return self.part.mode

    @property
    def weight_of_an_input(self) -> float:
        """1 when the four inputs are added, 1/4 when they are averaged."""
        return self.part.weight_of_an_input

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps, H, W) → (N, maps, H/2, W/2)."""
        pooled = functional.avg_pool2d(x, self.size)
        if self.mode == "added":
            pooled = pooled * self.size**2
        # (maps,) → (maps, 1, 1), over rows and columns
        return pooled * self.coefficient[:, None, None] + self.bias[:, None, None]


class TableConvolution(nn.Module):
    """A 5×5 convolution in which each output map sees only some of the input maps.

    Only the kernels of existing links are parameters: 60 of them for Table I, not a masked 16×6.

    Parameters
    ----------
    table : tuple of tuples of int
        For each output map, the input maps it sees, ascending.
    size : int
        Rows and columns of a kernel.

    References
    ----------
    LeCun et al. 1998, Table I.
    """

    outputs: Tensor
    inputs: Tensor

    def __init__(self, table: Table = TABLE_I, size: int = 5) -> None:
        super().__init__()
        self.table = table
        self.kernel_size = (size, size)
        self.out_channels = len(table)
        self.in_channels = 1 + max(max(row) for row in table)
        links = [(out, into) for out, row in enumerate(table) for into in row]
        self.register_buffer("outputs", torch.tensor([a for a, _ in links]), persistent=False)
        self.register_buffer("inputs", torch.tensor([b for _, b in links]), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(links), size, size))
        self.bias = nn.Parameter(torch.empty(len(table)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√fan-in, as `torch.nn` starts its layers; each map has its own fan-in."""
        area = self.kernel_size[0] * self.kernel_size[1]
        bounds = torch.tensor([1 / math.sqrt(len(row) * area) for row in self.table])
        with torch.no_grad():
            # (links,) → (links, 1, 1), over a kernel's rows and columns
            self.weight.uniform_(-1, 1).mul_(bounds[self.outputs][:, None, None])
            self.bias.uniform_(-1, 1).mul_(bounds)

    def dense_weight(self) -> Tensor:
        """(maps, input maps, size, size): zeros where there is no link."""
        shape = (self.out_channels, self.in_channels, *self.kernel_size)
        return self.weight.new_zeros(shape).index_put((self.outputs, self.inputs), self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input maps, H, W) → (N, maps, H − size + 1, W − size + 1)."""
        return functional.conv2d(x, self.dense_weight(), self.bias)


class RadialBasisOutput(nn.Module):
    """Euclidean radial basis units: score = −y, y_i = Σ_j (x_j − w_ij)².

    Parameters
    ----------
    centers : (classes, features) float32
        The codes w; ±1 in the paper.
    trainable : bool
        Paper: fixed "at least initially".

    References
    ----------
    LeCun et al. 1998, Sec. II.B, Eq. (7).
    """

    centers: Tensor

    def __init__(self, centers: Tensor, trainable: bool = False) -> None:
        super().__init__()
        if trainable:
            self.centers = nn.Parameter(centers.clone())
        else:
            self.register_buffer("centers", centers.clone())

    def forward(self, x: Tensor) -> Tensor:
        """(…, features) → (…, classes), larger is better.

        Summed difference by difference: the expansion |x|² − 2xw + |w|² cancels in float32 when x
        is near its code.
        """
        return -(x[..., None, :] - self.centers).square().sum(-1)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "scaled-tanh": ScaledTanh,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gelu-tanh": partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "hard-tanh": nn.Hardtanh,
    "hard-sigmoid": nn.Hardsigmoid,
    "hard-swish": nn.Hardswish,
}
"""Every squashing function a LeNet here can have; each acts on every value by itself."""

POOLINGS: dict[str, type[nn.Module]] = {
    "max": nn.MaxPool2d,
    "average": nn.AvgPool2d,
    "subsampling": Subsampling,
}
"""Every pooling a LeNet here can have."""


def look_up(table: Mapping[type[nn.Module], T], name: str, layer: nn.Module, room: str) -> T:
    """What a room's table says of a layer.

    By its exact type: a subclass may compute something else.

    Parameters
    ----------
    name : str
        The layer's attribute name.
    room : str
        Who asks, for the message.

    Raises
    ------
    InputError
        When the table has no entry for the layer.
    """
    if type(layer) not in table:
        known = ", ".join(kind.__name__ for kind in table)
        raise InputError(
            f"{name or 'the network'} is a {type(layer).__name__}, which {room} does not know; "
            f"it knows {known}"
        )
    return table[type(layer)]
