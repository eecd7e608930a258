"""Each epoch's figures for TensorBoard, where it is installed."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from lenet.errors import InputError
from lenet.runs.run import Run
from lenet.training.history import Epoch

FOLDER = "tensorboard"
"""Where they are, inside a run folder: `tensorboard --logdir` of it or of all runs shows them."""


def find_writer() -> Any:
    """TensorBoard's `SummaryWriter`.

    Raises
    ------
    InputError
        When TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("TensorBoard is not installed: pip install tensorboard") from error
    return SummaryWriter


@contextlib.contextmanager
def writing_scalars(run: Run) -> Iterator[Callable[[Epoch], None]]:
    """What writes an epoch's figures into the run's folder; those after its state are replaced.

    Raises
    ------
    InputError
        When TensorBoard is not installed.
    """
    done = run.state.epoch if run.state is not None else 0
    with find_writer()(str(run.folder / FOLDER), purge_step=done + 1) as writer:

        def write(epoch: Epoch) -> None:
            for name, value in _name_scalars(epoch).items():
                if not math.isnan(value):  # no validation part was held out
                    writer.add_scalar(name, value, epoch.epoch)
            writer.flush()

        yield write


def _name_scalars(epoch: Epoch) -> dict[str, float]:
    return {
        "loss/train": epoch.train_loss,
        "loss/validation": epoch.validation_loss,
        "accuracy/train": epoch.train_accuracy,
        "accuracy/validation": epoch.validation_accuracy,
        "learning rate": epoch.learning_rate,
    }
