"""The experiments of 1998 run again, and their results beside the printed ones."""

from lenet.reproduction.comparison import Comparison, compare
from lenet.reproduction.experiment import DISTORTIONS, LEARNING_RATES, PASSES, Experiment
from lenet.reproduction.progress import ExperimentProgress
from lenet.reproduction.protocol import reproduce
from lenet.reproduction.results import Results, Spread, read_results

__all__ = [
    "DISTORTIONS",
    "LEARNING_RATES",
    "PASSES",
    "Comparison",
    "Experiment",
    "ExperimentProgress",
    "Results",
    "Spread",
    "compare",
    "read_results",
    "reproduce",
]
