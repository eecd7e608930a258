"""A name or a folder of pictures becomes a data set in memory: train, validation and test."""

import difflib
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.data.idx import read_idx
from lenet.data.ink import to_ink
from lenet.data.pictures import read_picture
from lenet.data.preprocessing import FULL_INK, INK_SIZE, Preparation
from lenet.data.splits import Split, Splits
from lenet.errors import DataError, DownloadError, LenetError, PictureError
from lenet.files import write_atomic

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes received and the bytes in all."""

VALIDATION_FRACTION = 0.1
TEST_FRACTION = 0.2
MAX_CLASSES = 1000
MAX_PICTURES = 500_000

_TEST_SEED = 1998  # which images test is not for the user's seed to choose
_TIMEOUT_SECONDS = 20
_READERS = 4


@dataclass(frozen=True)
class OfficialFile:
    """A published file: what it must be, to the last byte."""

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
    """

    name: str
    description: str
    class_names: tuple[str, ...]
    preparation: Preparation
    validation: int | float = VALIDATION_FRACTION
    files: tuple[OfficialFile, ...] = ()
    mirrors: tuple[str, ...] = ()


_DIGIT_NAMES = tuple("0123456789")

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            description="1,797 handwritten digits that come inside scikit-learn; needs no network",
            class_names=_DIGIT_NAMES,
            preparation="digit",
        ),
        Dataset(
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
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://raw.githubusercontent.com/fgnt/mnist/master/",
            ),
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
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
        ),
    )
}


def load_dataset(
    name_or_folder: str | Path, *, validation: float | None = None, seed: int = 0
) -> Splits:
    """Load a data set into memory and split it.

    Parameters
    ----------
    name_or_folder : str or Path
        A name in `DATASETS`; or a folder with one subfolder of pictures per class, or with
        `train` and optionally `validation` (or `val`) and `test` folders of such subfolders.
    validation : float, optional
        The fraction of the training part held out for validation, 0 ≤ fraction < 1, drawn
        stratified. By default 5,000 images of MNIST and Fashion-MNIST, a tenth elsewhere.
    seed : int
        Which training images are held out. The test part never depends on it: it is the published
        one, the folder's own, or a fixed stratified fifth when neither exists.

    Returns
    -------
    splits : Splits

    Raises
    ------
    DataError
        When the data set is unknown, damaged, or no set of classes to learn.
    DownloadError
        When files are missing and no mirror gives them.

    Notes
    -----
    Files are looked for in `$LENET_DATA/<name>/`, then in the user's cache (`$LENET_CACHE`, else
    the system's place for caches), then downloaded into the cache.
    """
    if validation is not None and not 0 <= validation < 1:
        raise DataError(f"validation is {validation}; it is a fraction from 0 to below 1")
    if isinstance(name_or_folder, Path) or name_or_folder not in DATASETS:
        try:
            return _load_folder(_existing_folder(name_or_folder), validation, seed)
        except OSError as error:
            raise DataError(f"{name_or_folder} cannot be read: {error.strerror}") from error

    dataset = DATASETS[name_or_folder]
    if dataset.files:
        train, test = _load_official(dataset)
        sha256 = _digest(train, test)
    else:
        whole = _load_digits()
        sha256 = _digest(whole)
        train, test = _hold_out(whole, TEST_FRACTION, _TEST_SEED)
    train, held_out = _hold_out(
        train, dataset.validation if validation is None else validation, seed
    )
    return Splits(
        name=dataset.name,
        train=train,
        validation=held_out,
        test=test,
        class_names=dataset.class_names,
        preparation=dataset.preparation,
        sha256=sha256,
    )


# Splitting


def _hold_out(split: Split, amount: int | float, seed: int) -> tuple[Split, Split]:
    """Part a split in two, stratified: what stays and what is held out, both in file order.

    Every class gives its proportional share, rounded so that the total is exact (largest
    remainders first), and keeps at least one image.
    """
    labels = split.labels
    count = round(amount if isinstance(amount, int) else amount * len(labels))
    count = max(count, 1) if amount else 0
    sizes = np.bincount(labels)
    # Integers: `count` shares of size / N each, whole parts and remainders, without rounding.
    quota, remainders = np.divmod(sizes * count, len(labels))
    quota = np.minimum(quota, np.maximum(sizes - 1, 0))
    spare = np.flatnonzero(quota + 1 < sizes)
    first = spare[np.argsort(-remainders[spare], kind="stable")]
    quota[first[: count - quota.sum()]] += 1

    held = np.zeros(len(labels), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(labels))
    for label, size in enumerate(quota):
        held[order[labels[order] == label][:size]] = True
    return (
        Split(split.images[~held], labels[~held]),
        Split(split.images[held], labels[held]),
    )


def _digest(*splits: Split) -> str:
    """SHA-256 over images and labels in the order they were read."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(np.ascontiguousarray(split.images).data)
        digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return digest.hexdigest()


# Built-in digits

_SMALL_SIZE = 8
_SMALL_FULL = 16
_BOX_SIZE = 20
_FINE = 8  # the ink's box is found to an eighth of a small pixel


def _load_digits() -> Split:
    """scikit-learn's 8×8 digits by MNIST's recipe: ink box 20×20, centre of mass centred."""
    from sklearn.datasets import load_digits  # a second of imports that other data sets spare

    small, labels = load_digits(return_X_y=True)
    small = small.reshape(-1, _SMALL_SIZE, _SMALL_SIZE)
    return Split(_enlarge(small), labels.astype(np.int64))


def _enlarge(small: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(N, 8, 8) counts of ink, 0 … 16, to (N, 28, 28) ink."""
    # The box: where a fine, smooth copy of the digit has at least half of full ink.
    fine_positions = (np.arange(_SMALL_SIZE * _FINE) + 0.5) / _FINE - 0.5
    spread = _cubic_weights(fine_positions)
    fine = spread @ small @ spread.T  # (N, 64, 64)
    height = _extent(fine.max(axis=2)) / _FINE
    width = _extent(fine.max(axis=1)) / _FINE
    step = np.maximum(height, width) / _BOX_SIZE  # (N,) small pixels per large pixel

    mass = small.sum(axis=(1, 2))
    positions = np.arange(_SMALL_SIZE)
    rows = small.sum(axis=2) @ positions / mass
    columns = small.sum(axis=1) @ positions / mass
    offsets = step[:, None] * (np.arange(INK_SIZE) - (INK_SIZE - 1) / 2)  # (N, 28)
    down = _cubic_weights(rows[:, None] + offsets)  # (N, 28, 8)
    across = _cubic_weights(columns[:, None] + offsets)
    large = down @ small @ across.transpose(0, 2, 1)
    return np.clip(np.rint(large * (FULL_INK / _SMALL_FULL)), 0, FULL_INK).astype(np.uint8)


def _extent(peaks: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N, 64) largest ink per row or column to (N,) distances from the first inked to the last."""
    present = peaks >= _SMALL_FULL / 2
    last = present.shape[1] - present[:, ::-1].argmax(axis=1)
    return np.asarray(last - present.argmax(axis=1))


def _cubic_weights(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…) positions among 8 pixels to (…, 8) weights of cubic convolution; paper outside.

    References
    ----------
    Keys 1981, Cubic convolution interpolation for digital image processing, with a = −1/2.
    """
    x = np.abs(positions[..., None] - np.arange(_SMALL_SIZE))
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


# Official files


@dataclass(frozen=True)
class FileCheck:
    """What `verify_dataset` found of one file.

    Parameters
    ----------
    path : Path
        Where the file is, or would be downloaded to.
    state : {"verified", "missing", "damaged"}
    problem : str
        One sentence; empty when verified.
    """

    path: Path
    state: Literal["verified", "missing", "damaged"]
    problem: str = ""


def fetch_dataset(name: str, on_progress: Progress | None = None) -> tuple[Path, ...]:
    """Make sure that every file of a data set is here and is the published one.

    Parameters
    ----------
    name : str
        In `DATASETS`.
    on_progress : callable, optional
        Called with a file's name, the bytes received and the bytes in all while it downloads.

    Returns
    -------
    paths : tuple of Path
        The files; none for a data set that is built in.

    Raises
    ------
    DataError
        When the name is unknown, or a file in `LENET_DATA` is not the published one.
    DownloadError
        When no mirror gives a file, or the cache cannot be written.
    """
    dataset = _dataset(name)
    return tuple(_obtain(dataset, file, on_progress)[0] for file in dataset.files)


def verify_dataset(name: str) -> tuple[FileCheck, ...]:
    """Compare every file of a data set with the published SHA-256; downloads nothing.

    Raises
    ------
    DataError
        When the name is unknown.
    """
    dataset = _dataset(name)
    return tuple(_verify(dataset, file) for file in dataset.files)


def _verify(dataset: Dataset, file: OfficialFile) -> FileCheck:
    places = _places(dataset, file)
    for path in places:
        try:
            if _read_verified(path, file) is not None:
                return FileCheck(path, "verified")
        except DataError as error:
            return FileCheck(path, "damaged", str(error))
    return FileCheck(places[-1], "missing", f"lenet data get {dataset.name} downloads it")


def _load_official(dataset: Dataset) -> tuple[Split, Split]:
    images, labels, test_images, test_labels = (
        read_idx(_obtain(dataset, file)[1]) for file in dataset.files
    )
    return (
        Split(images, labels.astype(np.int64)),
        Split(test_images, test_labels.astype(np.int64)),
    )


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise DataError(f"{name!r} is no data set; use {', '.join(DATASETS)}{_suggestion(name)}")
    return DATASETS[name]


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, DATASETS, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _places(dataset: Dataset, file: OfficialFile) -> tuple[Path, ...]:
    """Where the user may have put the file, if anywhere, and last where the cache keeps it."""
    given = os.environ.get("LENET_DATA")
    cache = os.environ.get("LENET_CACHE")
    if not cache:
        import pooch

        cache = pooch.os_cache("lenet")
    return tuple(Path(place, dataset.name, file.name) for place in (given, cache) if place)


def _obtain(
    dataset: Dataset, file: OfficialFile, on_progress: Progress | None = None
) -> tuple[Path, bytes]:
    """The file's place and verified content: the user's, else the cache's, else a mirror's."""
    *given, cached = _places(dataset, file)
    for path in given:
        content = _read_verified(path, file)  # not ours to replace, so damage is an error
        if content is not None:
            return path, content
    try:
        content = _read_verified(cached, file)
    except DataError:
        content = None
    if content is None:
        content = _download(dataset, file, cached, on_progress)
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(cached, content)
        except (OSError, LenetError) as error:
            raise DownloadError(
                f"{cached} cannot be written: {error}; let LENET_CACHE name a folder that can"
            ) from error
    return cached, content


def _read_verified(path: Path, file: OfficialFile) -> bytes | None:
    """The published file's content, or None when there is no file."""
    remedy = "replace it, or remove it and it is downloaded again"
    try:
        size = path.stat().st_size
        if not path.is_file() or size != file.size:
            raise DataError(f"{path} has {size} bytes, not the published {file.size}; {remedy}")
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise DataError(
            f"{path} is not the published file: SHA-256 {sha256}, not {file.sha256}; {remedy}"
        )
    return content


class _BoundedBuffer(BytesIO):
    """Refuses the first byte more than a file may have, and tells how far it is."""

    def __init__(self, file: OfficialFile, on_progress: Progress | None) -> None:
        super().__init__()
        self.file = file
        self.on_progress = on_progress

    def write(self, chunk: Any) -> int:
        received = self.tell() + len(chunk)
        if received > self.file.size:
            raise DataError(f"sends more than the published {self.file.size} bytes")
        if self.on_progress is not None:
            self.on_progress(self.file.name, received, self.file.size)
        return super().write(chunk)


def _download(
    dataset: Dataset, file: OfficialFile, target: Path, on_progress: Progress | None
) -> bytes:
    import pooch

    download = pooch.HTTPDownloader(chunk_size=2**16, timeout=_TIMEOUT_SECONDS)
    failures = []
    for mirror in dataset.mirrors:
        url = mirror + file.name
        buffer = _BoundedBuffer(file, on_progress)
        try:
            download(url, buffer, None)
            content = buffer.getvalue()
            sha256 = hashlib.sha256(content).hexdigest()
            if len(content) != file.size:
                raise DataError(f"sent {len(content)} of {file.size} bytes")
            if sha256 != file.sha256:
                raise DataError(f"sent other bytes: SHA-256 {sha256}, published {file.sha256}")
            return content
        except (OSError, DataError) as error:  # requests' errors are OSErrors
            failures.append(f"  {url}\n    {error}")
    raise DownloadError(
        f"{dataset.name}: no mirror gave {file.name}:\n" + "\n".join(failures) + "\n"
        f"Try again later, or put the file into {target.parent} yourself, or into a folder "
        f"{dataset.name} inside the one that LENET_DATA names."
    )


# Folders of pictures

_PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_CLUTTER = ("Thumbs.db", "desktop.ini")  # what a file browser leaves beside pictures


def _existing_folder(name_or_folder: str | Path) -> Path:
    folder = Path(name_or_folder)
    if str(name_or_folder) and folder.is_dir():
        return folder
    raise DataError(
        f"{str(name_or_folder)!r} is neither a data set ({', '.join(DATASETS)}) "
        f"nor a folder of pictures{_suggestion(str(name_or_folder))}"
    )


def _load_folder(folder: Path, validation: float | None, seed: int) -> Splits:
    names = {path.name for path in _entries(folder) if path.is_dir()}
    parted = "train" in names and names <= _PARTS.keys()
    parts = {_PARTS[name]: folder / name for name in names} if parted else {"train": folder}
    if parted and len(parts) < len(names):
        raise DataError(f"{folder} has both val and validation; keep one")
    if validation is not None and "validation" in parts:
        raise DataError(f"{folder} has its own validation part; leave the fraction out")
    class_names = _class_names(parts["train"])
    loaded = {name: _load_classes(part, class_names) for name, part in sorted(parts.items())}
    sha256 = _digest(*loaded.values())

    train = loaded["train"]
    if "test" not in loaded:
        train, loaded["test"] = _hold_out(train, TEST_FRACTION, _TEST_SEED)
    if "validation" not in loaded:
        fraction = VALIDATION_FRACTION if validation is None else validation
        train, loaded["validation"] = _hold_out(train, fraction, seed)
        if fraction and not len(loaded["validation"]):
            raise DataError(f"{folder} is too small to hold out a validation part: add pictures")
    if not len(loaded["test"]):
        raise DataError(f"{folder} is too small to hold out a test part: add pictures")
    return Splits(
        name=folder.resolve().name,
        train=train,
        validation=loaded["validation"],
        test=loaded["test"],
        class_names=class_names,
        preparation="plain",
        sha256=sha256,
    )


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden files."""
    with os.scandir(folder) as entries:
        names = list(islice((entry.name for entry in entries), MAX_PICTURES + 1))
    if len(names) > MAX_PICTURES:
        raise DataError(f"{folder} holds more than {MAX_PICTURES} files; none was read")
    return [folder / name for name in sorted(names) if name[0] != "." and name not in _CLUTTER]


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _entries(folder) if path.is_dir())
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{folder} has {len(names)} class folders; 2 to {MAX_CLASSES} can be learned, "
            "one subfolder of pictures for each"
        )
    for name in names:
        if not name.isprintable():  # control characters, and bytes that are no text
            raise DataError(f"{folder}: rename the class folder {name!a} to printable text")
    return names


def _load_classes(folder: Path, class_names: tuple[str, ...]) -> Split:
    """The pictures of one part, by class and then by file name."""
    paths: list[Path] = []
    labels: list[int] = []
    for path in _entries(folder):
        if not path.is_dir():
            continue
        if path.name not in class_names:
            raise DataError(f"{path} is no class of the train folder; remove it or add it there")
        pictures = _entries(path)
        if not pictures:
            raise DataError(f"the class folder {path} is empty; put pictures into it or remove it")
        paths += pictures
        labels += [class_names.index(path.name)] * len(pictures)
        if len(paths) > MAX_PICTURES:
            raise DataError(f"{folder} holds more than {MAX_PICTURES} files; none was read")
    if not paths:
        raise DataError(f"{folder} holds no class folders; put one subfolder per class into it")
    # Pillow decodes without holding the interpreter; few threads, for a picture may be large.
    with ThreadPoolExecutor(_READERS) as pool:
        images = np.stack(list(pool.map(_load_picture, paths)))
    return Split(images, np.array(labels, dtype=np.int64))


def _load_picture(path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError(f"{path} is not a picture file; class folders hold pictures only")
    try:
        return to_ink(read_picture(path), "plain").ink
    except PictureError as error:
        message = str(error)
        raise DataError(message if str(path) in message else f"{path}: {message}") from error
