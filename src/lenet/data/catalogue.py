"""What is known of each data set before any of it is read: names, classes, files, mirrors."""

from dataclasses import dataclass, replace

from lenet.data.preprocessing import Preparation
from lenet.errors import DataError, suggestion

VALIDATION_FRACTION = 0.1
"""Share of the training part held out for validation where nothing else is said."""


DRAWN = "+drawn"
"""The end of a data set's name when digits drawn by rule are added to its training part."""


@dataclass(frozen=True)
class OfficialFile:
    """A published file: what it must be, to the last byte.

    Parameters
    ----------
    name : str
    size : int, bytes
    sha256 : str, 64 hexadecimal digits
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before any of it is read.

    Parameters
    ----------
    name, description : str
    class_names : tuple of str
        By label.
    preparation : {"digit", "garment", "plain"}
    validation : int or float
        The default size of the validation part: images, or a fraction of the training part.
    files : tuple of OfficialFile
        Training images, training labels, test images, test labels; empty when built in.
    mirrors : tuple of str
        Addresses of folders that hold the files, asked in this order.
    n_drawn : int
        Digits that `lenet.data.drawn` adds to the training part, and an eighth of them beside to
        the validation part.
    """

    name: str
    description: str
    class_names: tuple[str, ...]
    preparation: Preparation
    validation: int | float = VALIDATION_FRACTION
    files: tuple[OfficialFile, ...] = ()
    mirrors: tuple[str, ...] = ()
    n_drawn: int = 0

    @property
    def folder(self) -> str:
        """The name of the folder that the files are kept in."""
        return self.name.removesuffix(DRAWN)


_DIGIT_NAMES = tuple("0123456789")

_MNIST = Dataset(
    name="mnist",
    description="MNIST: 70,000 handwritten digits (LeCun, Cortes, Burges)",
    class_names=_DIGIT_NAMES,
    preparation="digit",
    validation=5000,
    files=(
        OfficialFile(
            "train-images-idx3-ubyte.gz",
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        OfficialFile(
            "train-labels-idx1-ubyte.gz",
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        OfficialFile(
            "t10k-images-idx3-ubyte.gz",
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        OfficialFile(
            "t10k-labels-idx1-ubyte.gz",
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://dataset.bj.bcebos.com/mnist/",  # PaddlePaddle's, in Beijing
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
)

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            description="1,797 handwritten digits that come inside scikit-learn; needs no network",
            class_names=_DIGIT_NAMES,
            preparation="digit",
        ),
        _MNIST,
        replace(
            _MNIST,
            name=f"{_MNIST.name}{DRAWN}",
            description="MNIST, and 40,000 digits drawn in other customary forms to learn from",
            n_drawn=40_000,
        ),
        Dataset(
            name="fashion-mnist",
            description="Fashion-MNIST: 70,000 garments (Zalando Research, MIT licence)",
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            preparation="garment",
            validation=5000,
            files=(
                OfficialFile(
                    "train-images-idx3-ubyte.gz",
                    26421880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                OfficialFile(
                    "train-labels-idx1-ubyte.gz",
                    29515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
                OfficialFile(
                    "t10k-images-idx3-ubyte.gz",
                    4422102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                OfficialFile(
                    "t10k-labels-idx1-ubyte.gz",
                    5148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ),
            mirrors=(
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
                "https://dataset.bj.bcebos.com/fashion_mnist/",  # PaddlePaddle's, in Beijing
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
        ),
    )
}


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises
    ------
    DataError
        When the name is unknown.
    """
    if name not in DATASETS:
        hint = suggestion(name, DATASETS)
        raise DataError(f"{name!r} is no data set; use one of {', '.join(DATASETS)}{hint}")
    return DATASETS[name]
