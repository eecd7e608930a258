import pytest
import torch

from lenet import engines

pytest.importorskip("halide", reason="Halide has no wheel here")


def test_a_training_gives_the_cores_to_halide_and_back():
    before = torch.get_num_threads()
    with engines.select_engine("fused", "cpu").cores():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with engines.select_engine("torch", "cpu").cores():
        assert torch.get_num_threads() == before
