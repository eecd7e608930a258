"""What both engines promise: the same images as NumPy's, to the bit, and the cores given back."""

import importlib.util

import numpy as np
import pytest
import torch

from lenet import engines
from lenet.data.distortions import Distortions, warp
from lenet.data.preprocessing import PADDED_SIZE, PAPER_1998, Preprocessing
from lenet.errors import EngineError, InputError, ShapeError
from lenet.networks import build_network

HALIDE = pytest.mark.skipif(
    importlib.util.find_spec("halide") is None, reason="Halide has no wheel for this machine"
)
NAMES = [pytest.param("fused", marks=HALIDE), "torch"]


@pytest.fixture(params=NAMES)
def engine(request):
    return engines.select_engine(request.param, "cpu")


def a_set(n=40):
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28), np.uint8)


@pytest.mark.parametrize("preprocessing", [PAPER_1998, Preprocessing("plain", 3.1, -0.4)])
def test_gathered_images_are_those_of_preprocessing_to_the_bit(engine, preprocessing):
    ink, indices = a_set(), torch.tensor([3, 0, 39, 3])
    images = engine.gather(torch.from_numpy(ink), indices, preprocessing)
    np.testing.assert_array_equal(images.numpy(), preprocessing.apply(ink[indices.numpy()]))


def test_distorted_images_are_those_of_warp_to_the_bit(engine):
    ink, random = a_set(), np.random.default_rng(1)
    # Far enough that some pixels come from beyond every edge.
    matrices = Distortions(shift=6, scale=0.4, squeeze=0.3, shear=0.5, rotate=0.8).sample(
        33, random
    )
    indices = torch.from_numpy(random.integers(0, 40, 33))
    images = engine.gather(torch.from_numpy(ink), indices, PAPER_1998, matrices)
    frames = warp(ink[indices.numpy()], matrices)
    scaled = frames * np.float32(PAPER_1998.factor) + np.float32(PAPER_1998.offset)
    np.testing.assert_array_equal(images.numpy()[:, 0], scaled)


def test_no_images_are_gathered_as_none(engine):
    images = engine.gather(torch.from_numpy(a_set()), torch.zeros(0, dtype=torch.int64), PAPER_1998)
    assert images.shape == (0, 1, PADDED_SIZE, PADDED_SIZE)


def test_what_does_not_choose_images_is_refused(engine):
    ink = torch.from_numpy(a_set())
    with pytest.raises(ShapeError, match="ink must be"):
        engine.gather(ink.float(), torch.arange(3), PAPER_1998)
    with pytest.raises(ShapeError, match=r"indices must be \(B,\) int64"):
        engine.gather(ink, torch.arange(3).float(), PAPER_1998)
    with pytest.raises(ShapeError, match=r"3 images need matrices \(3, 2, 3\) float32"):
        engine.gather(ink, torch.arange(3), PAPER_1998, np.zeros((2, 2, 3), np.float32))
    with pytest.raises(IndexError):
        engine.gather(ink, torch.tensor([40]), PAPER_1998)


@HALIDE
def test_a_training_gives_the_cores_to_halide_and_back():
    before = torch.get_num_threads()
    with engines.select_engine("fused", "cpu").cores():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with engines.select_engine("torch", "cpu").cores():
        assert torch.get_num_threads() == before


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(InputError, match="engine 'tourch' is unknown; use one of auto, fused"):
        engines.select_engine("tourch")
    with pytest.raises(InputError, match="device 'gpu' is unknown; use one of auto, cpu, cuda"):
        engines.select_engine("auto", "gpu")


def test_without_halide_auto_is_torch_and_says_why(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    engine = engines.select_engine("auto", "cpu")
    assert engine.name == "torch"
    assert "Halide is not installed" in engine.notice
    with pytest.raises(EngineError, match=r"Halide is not installed.*--engine torch"):
        engines.select_engine("fused", "cpu")


@pytest.mark.parametrize(("n", "count"), [(0, 1), (1, 1), (64, 1), (65, 3)])
def test_a_few_images_are_scored_in_one_thread(n, count):
    network, seen = build_network("modern"), []
    network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    engine, before = engines.select_engine("torch", "cpu"), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        engine.scores(engine.compile(network), a_set(n), PAPER_1998)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [count]


def test_scoring_gives_every_layer_its_own_mode_back(engine):
    network = build_network("modern", batch_norm=True)
    module = engine.compile(network).train()
    network.norm1.eval()  # frozen, as in fine-tuning
    engine.scores(module, a_set(3), PAPER_1998)
    assert module.training
    assert network.training
    assert network.norm3.training
    assert not network.norm1.training
