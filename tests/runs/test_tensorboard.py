"""TensorBoard: each epoch's figures where it is installed, one line where it is not."""

import sys
import types
from typing import ClassVar

import pytest

from lenet import fit
from lenet.errors import InputError
from lenet.fitting import follow
from lenet.progress import Progress
from lenet.runs import extend_run, open_run

NAME = "torch.utils.tensorboard"
SETTINGS = {"network": "tutorial", "changes": {"epochs": 1}, "verbose": False}
SCALARS = {
    "loss/train", "loss/validation", "accuracy/train", "accuracy/validation", "learning rate",
}  # fmt: skip


class Writer:
    """What is taken of `SummaryWriter`, noting what it is told."""

    made: ClassVar[list["Writer"]] = []

    def __init__(self, log_dir, purge_step):
        self.log_dir, self.purge_step, self.values, self.closed = log_dir, purge_step, {}, False
        self.made.append(self)

    def add_scalar(self, name, value, step):
        self.values[name, step] = value

    def flush(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


def test_every_epoch_has_its_figures_also_after_going_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, NAME, types.SimpleNamespace(SummaryWriter=Writer))
    run = fit(out=tmp_path, tensorboard=True, **SETTINGS)
    (first,) = Writer.made
    assert first.log_dir == str(run.folder / "tensorboard")
    assert (first.purge_step, first.closed) == (1, True)
    assert first.values.keys() == {(name, 1) for name in SCALARS}
    assert first.values["accuracy/validation", 1] == run.state.best.validation_accuracy
    longer = extend_run(open_run(run.folder), epochs=2)
    follow(longer, Progress(silent=True), tensorboard=True)
    assert Writer.made[1].purge_step == 2
    assert Writer.made[1].values.keys() == {(name, 2) for name in SCALARS}


def test_without_a_validation_part_there_are_no_figures_of_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, NAME, types.SimpleNamespace(SummaryWriter=Writer))
    fit(out=tmp_path, tensorboard=True, validation=0, **SETTINGS)
    names = {name for name, _ in Writer.made[-1].values}
    assert names == {name for name in SCALARS if "validation" not in name}


def test_where_it_is_missing_a_line_says_what_to_do_and_no_folder_is_made(
    tmp_path, monkeypatch, lenet_command
):
    monkeypatch.setitem(sys.modules, NAME, None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        fit(out=tmp_path / "runs", tensorboard=True, **SETTINGS)
    result = lenet_command("train", "--tensorboard", "--out", tmp_path / "runs")
    assert result.code == 2
    assert result.err.splitlines()[-1] == (
        "lenet: TensorBoard is not installed: pip install tensorboard"
    )
    assert not (tmp_path / "runs").exists()


def test_tensorboard_itself_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit(out=tmp_path, tensorboard=True, **SETTINGS)
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    (event,) = events.Scalars("accuracy/train")
    assert (event.step, event.value) == (1, pytest.approx(run.state.best.train_accuracy))
