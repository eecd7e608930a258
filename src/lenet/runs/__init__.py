"""A training on disk: made, opened, made longer, finished; safe against any interruption."""

from lenet.runs.lifecycle import begin_run, create_run, extend_run, finish_run, open_run
from lenet.runs.run import Run

__all__ = ["Run", "begin_run", "create_run", "extend_run", "finish_run", "open_run"]
