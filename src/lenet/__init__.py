"""LeNet-5 as real software: the article's network, the paper's and a modern one.

Importing this package loads nothing heavy: a name is looked up when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lenet.errors import LenetError, LenetWarning

if TYPE_CHECKING:
    from lenet.answers import Prediction as Prediction
    from lenet.checkpoints import Checkpoint as Checkpoint
    from lenet.checkpoints import load_checkpoint as load_checkpoint
    from lenet.checkpoints import save_checkpoint as save_checkpoint
    from lenet.classifier import Classifier as Classifier
    from lenet.cross_validation import CrossValidation as CrossValidation
    from lenet.cross_validation import cross_validate as cross_validate
    from lenet.data.datasets import load_dataset as load_dataset
    from lenet.data.distortions import Distortions as Distortions
    from lenet.data.preprocessing import Preprocessing as Preprocessing
    from lenet.data.splits import Split as Split
    from lenet.data.splits import Splits as Splits
    from lenet.engines import fuse as fuse
    from lenet.engines import select_engine as select_engine
    from lenet.estimator import LeNetClassifier as LeNetClassifier
    from lenet.evaluation import Evaluation as Evaluation
    from lenet.evaluation import evaluate as evaluate
    from lenet.fitting import fit as fit
    from lenet.networks import LeNet as LeNet
    from lenet.networks import LeNet5 as LeNet5
    from lenet.networks import build_network as build_network
    from lenet.networks.summary import summarize as summarize
    from lenet.runs import Run as Run
    from lenet.training.loop import train as train
    from lenet.training.rates import RateTest as RateTest
    from lenet.training.rates import find_rate as find_rate
    from lenet.training.recipes import Recipe as Recipe
    from lenet.training.recipes import default_recipe as default_recipe

_HOME_OF = {
    "Checkpoint": "checkpoints",
    "Classifier": "classifier",
    "CrossValidation": "cross_validation",
    "Distortions": "data.distortions",
    "Evaluation": "evaluation",
    "LeNet": "networks",
    "LeNet5": "networks",
    "LeNetClassifier": "estimator",
    "Prediction": "answers",
    "Preprocessing": "data.preprocessing",
    "RateTest": "training.rates",
    "Recipe": "training.recipes",
    "Run": "runs",
    "Split": "data.splits",
    "Splits": "data.splits",
    "build_network": "networks",
    "cross_validate": "cross_validation",
    "default_recipe": "training.recipes",
    "evaluate": "evaluation",
    "fit": "fitting",
    "find_rate": "training.rates",
    "fuse": "engines",
    "load_checkpoint": "checkpoints",
    "load_dataset": "data.datasets",
    "save_checkpoint": "checkpoints",
    "select_engine": "engines",
    "summarize": "networks.summary",
    "train": "training.loop",
}

__all__ = ["LenetError", "LenetWarning", "__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("lenet")
    elif name in _HOME_OF:
        value = getattr(import_module(f"lenet.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    hidden = {name for name in globals() if name.startswith("__")}
    return sorted({*hidden, *__all__})
