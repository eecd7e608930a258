"""What every network promises, whatever it is made of."""

import copy

import pytest
import torch
from torch.nn import functional

from lenet.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from lenet.data.preprocessing import Preprocessing
from lenet.errors import InputError, ShapeError
from lenet.networks import LAYERS, NETWORKS, LeNet, build_network
from lenet.networks.initialization import initialize

VARIANTS = [
    ("tutorial", {}),
    ("modern", {}),
    ("modern", {"activation": "tanh", "pooling": "average"}),
    ("modern", {"activation": "gelu"}),
    ("modern", {"batch_norm": True, "dropout": 0.25}),
    ("lecun1998", {}),
    ("lecun1998", {"subsampling": "averaged", "trainable_codes": True}),
]


def test_every_network_is_under_contract():
    assert {name for name, _ in VARIANTS} == set(NETWORKS)


@pytest.fixture(params=VARIANTS, ids=lambda v: "-".join([v[0], *map(str, v[1].values())]))
def network(request) -> LeNet:
    name, options = request.param
    scheme = {"tutorial": "xavier", "modern": "kaiming", "lecun1998": "fan-in"}[name]
    return initialize(build_network(name, **options), scheme, torch.Generator().manual_seed(1))


@pytest.fixture
def images():
    return torch.randn(32, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_scores_have_one_row_an_image_and_one_column_a_class(network, images):
    assert network(images).shape == (32, 10)
    for n_images in (0, 1):
        assert network.eval()(images[:n_images]).shape == (n_images, 10)


@pytest.mark.parametrize("num_classes", [2, 3, 47])
def test_any_number_of_classes(network, images, num_classes):
    options = {k: v for k, v in network.options.items() if k != "characters"}
    built = build_network(network.name, num_classes, **options)
    initialize(built, "torch", torch.Generator())
    assert built(images).shape == (32, num_classes)


def test_the_layers_are_named_as_in_the_paper_and_lead_to_forward(network, images):
    network.eval()
    activations = network.activations(images)
    assert tuple(activations) == LAYERS
    assert torch.equal(activations["output"], network(images))


def test_every_parameter_gets_a_gradient(network, images):
    labels = torch.arange(32) % 10
    functional.cross_entropy(network(images), labels).backward()
    silent = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert silent == []


def test_it_can_learn_32_images_by_heart(network, images):
    labels = torch.arange(32) % 10
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(400):
            optimizer.zero_grad()
            functional.cross_entropy(network.train()(images), labels).backward()
            optimizer.step()
            if torch.equal(network.eval()(images).argmax(1), labels):
                return
    pytest.fail("32 images were not learned in 400 steps")


def test_a_checkpoint_keeps_every_bit_and_every_prediction(network, images, tmp_path):
    network.train()(images)  # BatchNorm's running statistics move
    network.eval()
    path = tmp_path / "model.safetensors"
    names = tuple("abcdefghij")
    save_checkpoint(path, Checkpoint(network, Preprocessing("digit", 2.5, -0.3), names))
    loaded = load_checkpoint(path)
    assert (loaded.network.name, loaded.network.options) == (network.name, network.options)
    assert loaded.preprocessing == Preprocessing("digit", 2.5, -0.3)
    assert loaded.class_names == names
    assert not loaded.network.training
    ours, theirs = network.state_dict(), loaded.network.state_dict()
    assert list(ours) == list(theirs)
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    assert torch.equal(network(images), loaded.network(images))


def test_an_image_is_scored_without_regard_to_its_neighbours(network, images):
    network.eval()
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone)


def test_a_constructor_does_not_reseed_the_global_generator(network):
    options = network.options

    def after_building(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        build_network(network.name, **options)
        return torch.rand(4)

    with torch.random.fork_rng():
        assert not torch.equal(after_building(1), after_building(2))


def test_a_copy_can_be_trained_alone(network, images):
    twin = copy.deepcopy(network)
    functional.cross_entropy(twin(images), torch.arange(32) % 10).backward()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    "shape", [(1, 28, 28), (2, 1, 28, 28), (2, 3, 32, 32), (32, 32), (2, 1, 32, 31)]
)
def test_a_wrong_shape_is_refused_and_both_shapes_named(network, shape):
    with pytest.raises(ShapeError) as caught:
        network(torch.zeros(shape))
    assert str(shape) in str(caught.value)
    assert "(N, 1, 32, 32)" in str(caught.value)


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_too_few_classes_are_refused(network, num_classes):
    options = {k: v for k, v in network.options.items() if k != "characters"}
    with pytest.raises(InputError):
        build_network(network.name, num_classes, **options)


def test_unknown_names_and_options_are_refused():
    with pytest.raises(InputError, match="unknown"):
        build_network("lenet6")
    with pytest.raises(InputError, match="no option dropuot"):
        build_network("modern", dropuot=0.1)
    with pytest.raises(InputError, match="takes no options"):
        build_network("tutorial", dropout=0.1)
