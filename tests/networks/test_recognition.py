"""Modules that others wrote: recognised by shapes and values, trained in place, or refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import lenet
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Split, Splits
from lenet.errors import InputError
from lenet.networks.layers import ACTIVATIONS
from lenet.networks.plans import POOLINGS
from lenet.networks.recognition import as_lenet
from lenet.training.recipes import Recipe


class Functional(nn.Module):
    """As PyTorch's own tutorial writes it; options change what no layer shows."""

    def __init__(self, *, channels=1, features=400, drop=0.0, end=None, padding=0):
        super().__init__()
        self.fc3, self.fc2 = nn.Linear(84, 10), nn.Linear(120, 84)  # their order says nothing
        self.fc1 = nn.Linear(features, 120)
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.drop, self.end = drop, end

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(x.view(x.size(0), -1)))
        x = functional.dropout(x, self.drop, self.training)
        x = functional.relu(self.fc2(x))
        x = self.fc3(functional.dropout(x, self.drop, self.training))
        return x if self.end is None else self.end(x)


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Dropout(0.4)),
            *(nn.Linear(120, 84), nn.Tanh(), nn.Dropout(0.4), nn.Linear(84, 5)),
        )

    def forward(self, x):
        return self.body(x)


class Raw(nn.Module):
    """Parameters without layers, pooled before they are squashed: the same for a maximum."""

    def __init__(self):
        super().__init__()
        drawn = lenet.build_network("modern").state_dict().values()
        self.w = nn.ParameterList([nn.Parameter(value) for value in drawn])

    def forward(self, x):
        for at in (0, 2):
            x = functional.max_pool2d(functional.conv2d(x, self.w[at], self.w[at + 1]), 2).tanh()
        x = x.flatten(1)
        for at in (4, 6):
            x = torch.tanh(x @ self.w[at].T + self.w[at + 1])
        return x @ self.w[8].T + self.w[9]


def lesson():
    """The book's: 28×28 images, padded by the first convolution."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2)),
        *(nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)),
    )


RELU = {"activation": "relu", "pooling": "max", "dropout": 0.0, "batch_norm": False}
KNOWN = {
    "the article's": (lenet.LeNet5, "tutorial", {}),
    "padded": (lesson, "tutorial", {}),
    "functional": (Functional, "modern", RELU),
    "functional, padded": (lambda: Functional(padding=2), "modern", RELU),
    "log_softmax": (lambda: Functional(end=lambda x: x.log_softmax(1)), "modern", RELU),
    "functional dropout": (lambda: Functional(drop=0.25), "modern", {**RELU, "dropout": 0.25}),
    "raw": (Raw, "modern", {**RELU, "activation": "tanh"}),
    "normalized": (
        Normalized,
        "modern",
        {"activation": "tanh", "pooling": "average", "dropout": 0.4, "batch_norm": True},
    ),
    "fused": (lambda: lenet.fuse(lenet.build_network("lecun1998")), "lecun1998", None),
}


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def splits():
    generator = torch.Generator().manual_seed(0)
    ink = torch.randint(0, 256, (40, 28, 28), generator=generator, dtype=torch.uint8).numpy()
    part = Split(ink, torch.arange(40).remainder(10).numpy())
    names = tuple("abcdefghij")
    return Splits("drawn", part, part, part, names, "digit", "0" * 64)


@pytest.mark.parametrize("name", KNOWN)
def test_a_module_is_recognized_and_shares_its_parameters(name):
    if name == "fused":
        pytest.importorskip("halide", reason="Halide has no wheel for this machine")
    make, network_name, options = KNOWN[name]
    module = make()
    before, modes = copy.deepcopy(module.state_dict()), [m.training for m in module.modules()]
    state = torch.get_rng_state()
    network = as_lenet(module)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in module.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert network.name == network_name
    assert options is None or network.options == options
    assert {id(p) for p in network.parameters()} == {id(p) for p in module.parameters()}
    images = torch.rand(4, 1, 32, 32)
    images[:, :, :2] = images[:, :, -2:] = images[..., :2] = images[..., -2:] = 0
    module.eval(), network.eval()
    inside = images[:, :, 2:-2, 2:-2].contiguous() if "padded" in name else images
    with torch.no_grad():
        ours, theirs = (scores.log_softmax(1) for scores in (network(images), module(inside)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_pooling_is_told_from_the_others(activation, pooling):
    ours = lenet.build_network("modern", 3, activation=activation, pooling=pooling)
    theirs = nn.Sequential(
        *(ours.c1, ours.squash, ours.s2, ours.c3, ours.squash, ours.s4, nn.Flatten()),
        *(ours.c5, ours.squash, ours.f6, ours.squash, ours.output),
    )
    found = as_lenet(theirs)
    assert type(found.squash) is type(ours.squash)
    assert type(found.s2) is type(ours.s2)


def sequential(*layers):
    return nn.Sequential(*layers)


def with_layer(at, layer):
    module = lesson()
    module[at] = layer
    return module


class Third(Functional):
    def __init__(self):
        super().__init__()
        self.conv3 = nn.Conv2d(16, 120, 3)


class Always(Functional):
    def forward(self, x):
        return super().forward(functional.dropout(x))


REFUSED = {
    "takes 3 channels, LeNet-5 takes 1": lambda: Functional(channels=3),
    r"16·4·4 = 256 inputs: a 28×28 LeNet without padding": lambda: Functional(features=256),
    "a third convolution, conv3 is 16 → 120 maps of 3×3": Third,
    "forward ends in ReLU": lambda: Functional(end=torch.relu),
    "forward ends in softmax": lambda: Functional(end=lambda x: x.softmax(1)),
    "draws at random in evaluation mode": Always,
    "0 has no bias": lambda: with_layer(0, nn.Conv2d(1, 6, 5, padding=2, bias=False)),
    "1.weight too": lambda: with_layer(1, nn.PReLU()),
    "7 is 500 → 120 units, where c5 is 400 → 120": lambda: with_layer(7, nn.Linear(500, 120)),
    "what it computes with them is not": lambda: with_layer(1, nn.Tanh()),
    "in training mode": lambda: with_layer(1, sequential(nn.Sigmoid(), nn.Dropout(0.3))),
    "it gives shape": lambda: sequential(lesson(), nn.Flatten(0)),
    "it takes neither 32×32 nor 28×28": lambda: with_layer(2, nn.AvgPool2d(3)),
    "it has 0 convolutions": lambda: nn.Linear(784, 10),
    "a fourth dense layer": lambda: sequential(lesson(), nn.Linear(10, 10)),
    "is a convolution's": lambda: sequential(
        *list(lesson())[:6], nn.Conv2d(16, 120, 5), nn.Flatten(), *list(lesson())[8:]
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_a_lenet_5_is_refused_with_the_reason(reason):
    module = REFUSED[reason]()
    with pytest.raises(InputError, match=reason) as caught:
        as_lenet(module)
    assert str(caught.value).startswith(f"{type(module).__name__} is not LeNet-5")
    assert "\n" not in str(caught.value)


class Doubled(nn.Module):
    """Something around a network of ours is no network of ours."""

    def __init__(self):
        super().__init__()
        self.network = lenet.build_network("modern")

    def forward(self, x):
        return 2 * self.network(x)


def test_what_is_put_around_a_network_counts():
    with pytest.raises(InputError, match="what it computes with them is not"):
        as_lenet(Doubled())


def test_the_public_verbs_take_it(splits, tmp_path):
    module, recipe = Functional(), Recipe("short", epochs=1, batch_size=16)
    rows = lenet.summarize(module)
    assert sum(row.parameters for row in rows) == 61_706
    before = [p.detach().clone() for p in module.parameters()]
    engine = lenet.select_engine("torch", "cpu")
    lenet.train(module, splits, recipe, engine=engine)
    assert not module.training
    assert not any(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    preprocessing = recipe.preprocessing(splits)
    scores = engine.scores(engine.compile(module), splits.test.images, preprocessing)
    with torch.no_grad():
        images = torch.from_numpy(preprocessing.apply(splits.test.images))
        torch.testing.assert_close(torch.from_numpy(scores), module(images))
    path = tmp_path / "own.safetensors"
    lenet.save_checkpoint(path, lenet.Checkpoint(module, preprocessing, splits.class_names))
    with torch.no_grad():
        again = lenet.load_checkpoint(path).network(images)
        torch.testing.assert_close(again, module(images))


def test_it_trains_to_the_same_bits_as_the_network_that_it_is(splits):
    recipe, engine = Recipe("short", epochs=2, batch_size=16), lenet.select_engine("torch", "cpu")
    theirs, ours = lenet.LeNet5(), lenet.build_network("tutorial")
    for network in (theirs, ours):
        lenet.train(network, splits, recipe, engine=engine)
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b)


def test_fuse_takes_it_and_its_optimizer():
    pytest.importorskip("halide", reason="Halide has no wheel for this machine")
    module = Functional()
    fused = lenet.fuse(module)
    images = torch.rand(16, 1, 32, 32)
    fused(images).square().mean().backward()
    assert fused.fallback is None
    found = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    module(images).square().mean().backward()
    for one, p in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(one, p.grad, rtol=1e-4, atol=1e-6)


def test_padding_with_zeros_is_the_same_only_where_paper_is_zero(splits):
    with pytest.raises(InputError, match=r"paper is -0\.4 here; take a recipe with pixels='unit'"):
        as_lenet(lesson(), Preprocessing("digit", 2.0, -0.4))
    lenet.train(lesson(), splits, Recipe("short", epochs=1))  # pixels from 0 to 1


def test_the_frame_itself_says_how_to_build_a_network():
    with pytest.raises(TypeError, match=r"lenet\.LeNet5\(\).*build_network"):
        lenet.LeNet()
