"""Vocabulary × room: each room knows a layer, and is right about it, or refuses it by name."""

import importlib.util
import warnings

import pytest
import torch
from torch import nn
from torch.func import jacrev

from lenet.engines import fuse
from lenet.errors import InputError, LenetWarning
from lenet.export.onnx import onnx_model
from lenet.networks import LeNet, build_network
from lenet.networks.initialization import SCHEMES, initialize
from lenet.networks.layers import ACTIVATIONS, POOLINGS, Subsampling
from lenet.networks.sizes import C1_MAPS, C3_MAPS, POOLING_SIZE
from lenet.networks.summary import summarize
from lenet.training.curvature import estimate_curvature
from lenet.training.losses import build_loss


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images(n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=dtype)


def with_activation(name: str) -> LeNet:
    return build_network("modern", activation=name)


def with_pooling(name: str) -> LeNet:
    network, kind = build_network("modern"), POOLINGS[name]
    network.s2, network.s4 = (
        kind(maps if kind is Subsampling else POOLING_SIZE) for maps in (C1_MAPS, C3_MAPS)
    )
    return network


ENTRIES = [pytest.param("squash", name, with_activation, id=name) for name in ACTIVATIONS]
ENTRIES += [pytest.param("s2", name, with_pooling, id=name) for name in POOLINGS]


# --- The rooms: each uses the network, and fails unless what comes out is right -------------------


def check_initialize(network: LeNet) -> None:
    """The seed decides every parameter."""
    for scheme in SCHEMES:
        drawn = []
        for leftover in (float("nan"), 7.0):
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.fill_(leftover)
            initialize(network, scheme, torch.Generator().manual_seed(1))
            drawn.append({name: p.detach().clone() for name, p in network.named_parameters()})
        for name, parameter in drawn[0].items():
            assert torch.equal(parameter, drawn[1][name]), (scheme, name)


def check_summarize(network: LeNet) -> None:
    rows = {row.layer: row for row in summarize(network)}
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert sum(row.parameters for row in rows.values()) == trainable
    for name, x in network.activations(images(1)).items():
        assert rows[name].output_shape == tuple(x.shape[1:])
    # A weight at each of its places; what has none is added up or compared, not multiplied.
    work = {"c1": 28**2 * 150, "c3": 100 * 2400, "c5": 48_000, "f6": 10_080, "output": 840}
    for name in ("s2", "s4"):
        maps, rows_, columns = rows[name].output_shape
        weighted = list(getattr(network, name).parameters())
        work[name] = maps * rows_ * columns if weighted else 0
    assert {name: row.multiply_adds for name, row in rows.items()} == work


def check_curvature(network: LeNet) -> None:
    """C3's biases, two squashing functions and a pooling below the output, by Jacobians."""
    network.double()
    x, labels = images(2, torch.float64), torch.tensor([3, 8])
    found = estimate_curvature(network, x, labels, build_loss("cross-entropy"))["c3.bias"]

    def slope(at: torch.Tensor) -> torch.Tensor:
        return (network.squash(at + 1e-8) - network.squash(at - 1e-8)) / 2e-8

    with torch.no_grad():
        values = network.activations(x)
        of_c3 = network.c3(values["s2"])
        of_c5 = network.c5(values["s4"].flatten(1))
        of_f6 = network.f6(values["c5"])
        shares = values["output"].softmax(1)
        h = shares * (1 - shares)
        h = slope(of_f6) ** 2 * (h @ network.output.weight**2)
        h = slope(of_c5) ** 2 * (h @ network.f6.weight**2)
        h = (h @ network.c5.weight**2).view(2, 16, 5, 5)
        expected = torch.zeros(16, dtype=torch.float64)
        for one, z, above in zip(values["c3"], of_c3, h, strict=True):
            pooled = jacrev(lambda c3: network.s4(c3[None])[0])(one)  # (16, 5, 5, 16, 10, 10)
            below = torch.einsum("mij,mijnkl->nkl", above, pooled**2) * slope(z) ** 2
            expected += below.sum((1, 2)) / 2
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-12)


def check_fused(network: LeNet) -> None:
    pytest.importorskip("halide", reason="Halide has no wheel for this machine")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fused = fuse(network.eval())
    with torch.no_grad():
        scores = fused(images(3))
        torch.testing.assert_close(scores, network(images(3)), rtol=1e-5, atol=1e-5)
    if fused.fallback is not None:  # the kernels refuse by running in torch, and say so
        assert [w.category for w in said] == [LenetWarning]
        assert fused.fallback in str(said[0].message)
        raise InputError(fused.fallback)
    assert not said


def check_onnx(network: LeNet) -> None:
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        pytest.skip("onnx and onnxruntime are not installed (extra: bench)")
    import onnxruntime

    model = onnx_model(network.eval())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"images": images(3).numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(scores), network(images(3)))


ROOMS = {
    "initialize": check_initialize,
    "summarize": check_summarize,
    "curvature": check_curvature,
    "fused": check_fused,
    "onnx": check_onnx,
}
REFUSED = {("onnx", "scaled-tanh"), ("onnx", "subsampling")}
"""What a room does without on purpose. A new name is refused too, and fails here until it has its
entry in each room or stands in this set."""


def refusal(room: str, attribute: str, network: LeNet) -> str:
    if room == "fused":  # says so in one line with every other reason to run in torch
        return rf"\b{attribute}\b"
    return f"{attribute} is a {type(getattr(network, attribute)).__name__}"


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(("attribute", "name", "build"), ENTRIES)
def test_every_room_knows_every_name_of_the_vocabulary(attribute, name, build, room):
    network = build(name)
    if (room, name) in REFUSED:
        with pytest.raises(InputError, match=refusal(room, attribute, network)):
            ROOMS[room](network)
    else:
        ROOMS[room](network)


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "fused"])
@pytest.mark.parametrize(
    "pooling",
    [
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d((3, 2), 2, (1, 0), count_include_pad=False),
        nn.AvgPool2d(2, divisor_override=3),
        nn.MaxPool2d(3, 2, 1),
    ],
    ids=str,
)
def test_a_known_layer_is_known_with_its_settings(pooling, room):
    network = build_network("modern")
    network.s2 = network.s4 = pooling
    if room == "onnx" and getattr(pooling, "divisor_override", None):
        with pytest.raises(InputError, match="divisor_override, got 3"):
            ROOMS[room](network)
    else:
        ROOMS[room](network)


@pytest.mark.parametrize("room", ROOMS)
def test_a_layer_may_have_no_bias(room):
    network = build_network("modern")
    network.c1, network.f6 = nn.Conv2d(1, 6, 5, bias=False), nn.Linear(120, 84, bias=False)
    if room == "fused":
        with pytest.raises(InputError, match=r"c1 \(Conv2d\), f6 \(Linear\)"):
            ROOMS[room](network)
    else:
        ROOMS[room](network)


# --- A user's own classes -------------------------------------------------------------------------


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Leaky(nn.ReLU):
    def forward(self, x):
        return torch.where(x > 0, x, x / 10)


class Sloped(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return torch.tanh(self.slope * x)


class Corner(nn.Module):
    def forward(self, x):
        return x[..., ::2, ::2]


class LowRank(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Parameter(torch.rand(400, 3) / 20)
        self.up = nn.Parameter(torch.rand(3, 120) / 2)

    def forward(self, x):
        return x @ self.down @ self.up


ALIENS = [("squash", Swish), ("squash", Leaky), ("squash", Sloped), ("s2", Corner), ("c5", LowRank)]
INDIFFERENT = {
    ("summarize", Swish),  # squashing is not counted,
    ("summarize", Leaky),
    ("initialize", Corner),  # and a layer without weights has none to draw
}


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(("attribute", "alien"), ALIENS)
def test_a_layer_of_the_users_own_is_refused_by_name(attribute, alien, room):
    network = build_network("tutorial")
    setattr(network, attribute, alien())
    if (room, alien) in INDIFFERENT:
        ROOMS[room](network)
    else:
        with pytest.raises(InputError, match=refusal(room, attribute, network)):
            ROOMS[room](network)


def test_a_refused_network_is_left_as_it_was():
    network = build_network("tutorial")
    network.squash, network.f6 = Swish(), nn.Bilinear(120, 120, 84)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    state = generator.get_state()
    for scheme in SCHEMES:
        with pytest.raises(InputError, match="f6 is a Bilinear"):
            initialize(network, scheme, generator)
    assert torch.equal(generator.get_state(), state)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "fused"])
def test_parameters_outside_the_layers_are_refused_too(room):
    network = build_network("modern")
    network.norm1 = nn.GroupNorm(2, 6)
    with pytest.raises(InputError, match="norm1 is a GroupNorm"):
        ROOMS[room](network)
    network.norm1 = nn.Identity()
    network.register_parameter("temperature", nn.Parameter(torch.ones(())))
    if room != "onnx":
        with pytest.raises(InputError, match="the network is a Modern"):
            ROOMS[room](network)


def test_what_only_holds_or_passes_on_has_no_curvature_of_its_own():
    network = build_network("modern", dropout=0.5)
    again = build_network("modern")
    network.c5 = nn.Sequential(nn.Flatten(), nn.Identity(), network.c5)
    again.load_state_dict(
        {name.replace("c5.2", "c5"): value for name, value in network.state_dict().items()}
    )
    labels = torch.tensor([1, 2])
    loss = build_loss("cross-entropy")
    found = estimate_curvature(network, images(2), labels, loss)
    for name, expected in estimate_curvature(again, images(2), labels, loss).items():
        assert torch.equal(found[name.replace("c5", "c5.2")], expected), name
