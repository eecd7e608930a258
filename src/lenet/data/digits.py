"""scikit-learn's 8×8 digits enlarged by MNIST's recipe: a data set that needs no network."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.data.rendering import BOX_SIZE
from lenet.data.splits import Split

_FILE = "datasets/data/digits.csv.gz"
SMALL_SIZE = 8
SMALL_FULL = 16
_FINE = 8  # the ink's box is found to an eighth of a small pixel


def load_digits() -> Split:
    """All 1,797 of them as ink: the ink's box 20×20, the centre of mass in the centre.

    Returns
    -------
    split : Split
        In scikit-learn's order.

    References
    ----------
    LeCun et al. 1998, Sec. III.A, for the recipe.
    """
    table = _read_table()
    small = table[:, :-1].reshape(-1, SMALL_SIZE, SMALL_SIZE)
    return Split(enlarge(small), table[:, -1].astype(np.int64))


def _read_table() -> NDArray[np.float64]:
    """(N, 65): a digit's pixels and its label in each line, from the file inside scikit-learn.

    Importing scikit-learn takes longer than all the rest of loading the digits.
    """
    package = find_spec("sklearn")  # imports nothing
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], _FILE)
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn import datasets

    return np.column_stack(datasets.load_digits(return_X_y=True))


def enlarge(small: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Small digits as ink.

    Parameters
    ----------
    small : (N, 8, 8) float64, paper = 0, full ink = 16
        None of them blank.

    Returns
    -------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
    """
    # The box: where a fine, smooth copy of the digit has at least half of full ink.
    fine_positions = (np.arange(SMALL_SIZE * _FINE) + 0.5) / _FINE - 0.5
    spread = _cubic_weights(fine_positions)
    fine = spread @ small @ spread.T  # (N, 64, 64)
    height = _extent(fine.max(axis=2)) / _FINE
    width = _extent(fine.max(axis=1)) / _FINE
    step = np.maximum(height, width) / BOX_SIZE  # (N,) small pixels per large pixel

    mass = small.sum(axis=(1, 2))
    positions = np.arange(SMALL_SIZE)
    rows = small.sum(axis=2) @ positions / mass
    columns = small.sum(axis=1) @ positions / mass
    offsets = step[:, None] * (np.arange(INK_SIZE) - (INK_SIZE - 1) / 2)  # (N, 28)
    down = _cubic_weights(rows[:, None] + offsets)  # (N, 28, 8)
    across = _cubic_weights(columns[:, None] + offsets)
    large = down @ small @ across.transpose(0, 2, 1)
    return np.clip(np.rint(large * (FULL_INK / SMALL_FULL)), 0, FULL_INK).astype(np.uint8)


def _extent(peaks: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N, 64) largest ink per row or column to (N,) distances from the first inked to the last."""
    present = peaks >= SMALL_FULL / 2
    last = present.shape[1] - present[:, ::-1].argmax(axis=1)
    return np.asarray(last - present.argmax(axis=1))


def _cubic_weights(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…) positions among 8 pixels to (…, 8) weights of cubic convolution; paper outside.

    References
    ----------
    Keys 1981, Cubic convolution interpolation for digital image processing, with a = −1/2.
    """
    x = np.abs(positions[..., None] - np.arange(SMALL_SIZE))
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
