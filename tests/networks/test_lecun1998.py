"""The 1998 network against every count the paper prints."""

import pytest
import torch

from lenet.errors import InputError, ShapeError
from lenet.networks import LAYERS, build_network
from lenet.networks.codes import encode
from lenet.networks.initialization import initialize
from lenet.networks.summary import summarize


def network(seed: int = 0, **options):
    return initialize(
        build_network("lecun1998", **options), "fan-in", torch.Generator().manual_seed(seed)
    )


def images(n: int, rows: int = 32, columns: int = 32) -> torch.Tensor:
    return torch.rand(n, 1, rows, columns, generator=torch.Generator().manual_seed(1)) * 1.275 - 0.1


def test_parameters_layer_by_layer():
    rows = {row.layer: row.parameters for row in summarize(build_network("lecun1998"))}
    assert rows == {
        "c1": 156,
        "s2": 12,
        "c3": 1_516,
        "s4": 32,
        "c5": 48_120,
        "f6": 10_164,
        "output": 0,
    }
    assert sum(rows.values()) == 60_000


def test_connections_layer_by_layer():
    rows = {row.layer: row.connections for row in summarize(build_network("lecun1998"))}
    # The IEEE print has 156,000 for C3 and so 345,308 in total; 100 × 1,516 is the preprint's.
    assert rows == {
        "c1": 122_304,
        "s2": 5_880,
        "c3": 151_600,
        "s4": 2_000,
        "c5": 48_120,
        "f6": 10_164,
        "output": 840,
    }
    assert sum(rows.values()) == 340_908


def test_sizes_of_the_maps():
    assert [row.output_shape for row in summarize(build_network("lecun1998"))] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
        (84,),
        (10,),
    ]


def test_the_output_is_minus_the_distance_to_the_codes():
    layers = network().activations(images(3))
    penalty = (layers["f6"][:, None, :] - torch.from_numpy(encode())).square().sum(-1)
    torch.testing.assert_close(layers["output"], -penalty)
    torch.testing.assert_close(network()(images(3)), layers["output"])


def test_every_layer_up_to_f6_is_squashed():
    layers = network().activations(1000 * images(2))
    assert tuple(layers) == LAYERS
    for name in LAYERS[:-1]:
        assert layers[name].abs().max() <= 1.7159 + 1e-4
    linear = network()
    squashed = linear.activations(images(2))
    torch.testing.assert_close(squashed["s2"], linear.squash(linear.s2(squashed["c1"])))
    torch.testing.assert_close(squashed["s4"], linear.squash(linear.s4(squashed["c3"])))


def test_a_larger_image_gives_what_a_sliding_window_gives():
    # Four rows or columns further is one further on S4: the window slides by the product of the
    # two poolings.
    lenet = network()
    wide = images(2, 40, 52)
    maps = lenet(wide)
    assert maps.shape == (2, 10, 3, 6)
    layers = lenet.activations(wide)
    assert layers["c5"].shape == (2, 120, 3, 6)
    assert layers["f6"].shape == (2, 84, 3, 6)
    for row in range(3):
        for column in range(6):
            window = wide[:, :, 4 * row : 4 * row + 32, 4 * column : 4 * column + 32]
            torch.testing.assert_close(maps[:, :, row, column], lenet(window))


def test_smaller_images_are_refused():
    with pytest.raises(ShapeError, match="or larger"):
        network()(torch.zeros(1, 1, 28, 28))


def test_the_starting_weights_fill_the_printed_range():
    fan_in = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    lenet = network()
    for name, inputs in fan_in.items():
        weight = next(getattr(lenet, name).parameters()).detach()
        bound = 2.4 / inputs
        assert weight.abs().max() <= bound
        if weight.numel() > 100:
            assert weight.abs().max() > 0.95 * bound
            assert weight.mean().abs() < 0.1 * bound
    # A C3 unit's fan-in is that of its own row of Table I.
    first, last = lenet.c3.weight[:3].detach(), lenet.c3.weight[-6:].detach()
    assert 0.9 * 2.4 / 75 < first.abs().max() <= 2.4 / 75
    assert 0.9 * 2.4 / 150 < last.abs().max() <= 2.4 / 150


def test_any_of_the_96_characters_can_be_a_class():
    letters = network(characters="abcxyz?", num_classes=7)
    torch.testing.assert_close(letters.output.centers, torch.from_numpy(encode("abcxyz?")))
    assert letters(images(2)).shape == (2, 7)
    assert build_network("lecun1998", 96)(images(1)).shape == (1, 96)


@pytest.mark.parametrize(
    ("classes", "characters"), [(10, "012"), (2, "00"), (2, "0011"), (97, None)]
)
def test_a_class_needs_a_character_of_its_own(classes, characters):
    with pytest.raises(InputError, match="different characters"):
        build_network("lecun1998", classes, characters=characters)


def test_codes_are_parameters_only_when_asked():
    fixed, trainable = network(), network(trainable_codes=True)
    assert sum(p.numel() for p in fixed.parameters()) == 60_000
    assert sum(p.numel() for p in trainable.parameters()) == 60_840
    torch.testing.assert_close(trainable.output.centers.detach(), torch.from_numpy(encode()))
