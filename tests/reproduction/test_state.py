"""How far an experiment has come, on disk and back."""

import numpy as np

from lenet.reproduction import Experiment
from lenet.reproduction.state import load_state, save_state


def test_more_networks_than_one_weight_file_may_hold(tmp_path):
    path = tmp_path / "plain.safetensors"
    experiment = Experiment(seeds=70)
    state = load_state(path, experiment, "0" * 64)
    state.train_error, state.test_error = np.zeros((2, 1, 70))
    save_state(path, state)
    assert load_state(path, experiment, "0" * 64).passes == 1
