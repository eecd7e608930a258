"""Trained weights and a picture → a prediction, and what the network saw on the way."""

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.answers import Answers, Explanation, Judge, Prediction
from lenet.checkpoints import Checkpoint, load_checkpoint
from lenet.data.catalogue import DATASETS
from lenet.data.ink import Ink, to_ink
from lenet.data.pictures import Picture, read_picture
from lenet.data.preprocessing import Preparation, check_ink
from lenet.data.splits import Splits
from lenet.engines import DeviceName, EngineName, select_scorer
from lenet.engines.in_numpy import NumpyNetwork, layers_of
from lenet.errors import InputError, PictureError
from lenet.evaluation import Evaluation, evaluate
from lenet.threads import thread_count

CHUNK = 64
"""Pictures of a stream that are read, then scored, together."""

_READERS = 4  # threads; more of them wait for one another

# An open image reads its file when it is first needed; no open file is made for two threads.
_open_file = threading.Lock()


class Classifier:
    """Reads pictures with trained weights.

    Parameters
    ----------
    checkpoint : Checkpoint
    engine : {"auto", "numpy", "fused", "torch"}
        See `lenet.engines.select_scorer`: NumPy answers at once, and ``auto`` leaves to the fused
        engine only what is worth compiling it.
    device : {"auto", "cpu", "cuda"}
    reject : float, optional
        Give no label to the least sure pictures, so many that of the others no more than this
        fraction is wrong: on pictures like the weights' own validation images.

    Raises
    ------
    InputError
        When the weights cannot promise so few errors.

    Examples
    --------
    >>> Classifier.load("mnist").predict("seven.jpg").label  # doctest: +SKIP
    '7'
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        engine: EngineName = "auto",
        device: DeviceName = "auto",
        reject: float | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.engine = select_scorer(engine, device)
        self._module = self.engine.load(checkpoint.model)
        self._layers = NumpyNetwork(checkpoint.model)
        self._judge = Judge(checkpoint.class_names, checkpoint.trust, reject)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        engine: EngineName = "auto",
        device: DeviceName = "auto",
        reject: float | None = None,
    ) -> "Classifier":
        """Pretrained weights by their name, or those of a file or a run folder.

        Parameters
        ----------
        name_or_path : str or Path
            As `lenet.load_checkpoint` takes it.
        engine : {"auto", "numpy", "fused", "torch"}
        device : {"auto", "cpu", "cuda"}
        reject : float, optional

        Returns
        -------
        classifier : Classifier

        Raises
        ------
        CheckpointError
            When there are no such weights or they cannot be used.
        InputError
            When they cannot promise so few errors as `reject` wants.
        """
        checkpoint = load_checkpoint(name_or_path)
        return cls(checkpoint, engine=engine, device=device, reject=reject)

    @property
    def class_names(self) -> tuple[str, ...]:
        """By label."""
        return self.checkpoint.class_names

    def predict(self, picture: Picture, *, top: int = 3) -> Prediction:
        """What a picture shows.

        Parameters
        ----------
        picture : path, bytes, open file, PIL.Image.Image or numpy array
            Any photo, scan or drawing: see `lenet.data.pictures.read_picture`.
        top : int
            How many classes `Prediction.top` lists.

        Returns
        -------
        prediction : Prediction

        Raises
        ------
        PictureError
            When the picture cannot be read.
        InputError
            When `top` is less than 1.
        """
        _check_top(top)
        ink = _read(picture, self.checkpoint.preprocessing.preparation)
        (answer,) = self.answers(ink.ink[None])
        return self._judge.prediction(answer, ink, top)

    def stream(
        self, pictures: Iterable[Picture], *, top: int = 3, processes: int = 0
    ) -> Iterator[Prediction | PictureError]:
        """What each of any number of pictures shows; one that cannot be read stops nothing.

        A few threads or processes read, and `CHUNK` pictures are scored together; no more are held
        at a time.

        Parameters
        ----------
        pictures : iterable of path, bytes, open file, PIL.Image.Image or numpy array
            Taken as they are needed: it may be longer than memory.
        top : int
            How many classes each prediction lists.
        processes : int
            How many processes read; 0 for threads of this one. Python lets threads prepare pictures
            by turns, and processes at the same time, but each takes half a second to start, and
            takes paths, bytes and arrays only. A program that uses them needs
            ``if __name__ == "__main__":``.

        Yields
        ------
        outcome : Prediction or PictureError
            One for each picture, in their order; the error where a picture cannot be read.

        Raises
        ------
        InputError
            When `top` is less than 1; before anything is read.
        """
        _check_top(top)
        return self._stream(iter(pictures), top, processes)

    def _stream(
        self, pictures: Iterator[Picture], top: int, processes: int
    ) -> Iterator[Prediction | PictureError]:
        read_one = partial(_try_read, preparation=self.checkpoint.preprocessing.preparation)
        with _readers(processes) as readers:
            while chunk := list(islice(pictures, CHUNK)):
                read = list(readers.map(read_one, chunk, chunksize=CHUNK // 16))
                inks = [one.ink for one in read if isinstance(one, Ink)]
                answers = iter(self.answers(np.array(inks)) if inks else ())
                for one in read:
                    if isinstance(one, Ink):
                        yield self._judge.prediction(next(answers), one, top)
                    else:
                        yield one

    @overload
    def predict_many(
        self, pictures: Iterable[Picture], *, top: int = 3, errors: Literal["raise"] = "raise"
    ) -> list[Prediction]: ...

    @overload
    def predict_many(
        self, pictures: Iterable[Picture], *, top: int = 3, errors: Literal["return"]
    ) -> list[Prediction | PictureError]: ...

    def predict_many(
        self,
        pictures: Iterable[Picture],
        *,
        top: int = 3,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[Prediction] | list[Prediction | PictureError]:
        """What each of many pictures shows, scored together.

        Parameters
        ----------
        pictures : iterable of path, bytes, open file, PIL.Image.Image or numpy array
        top : int
            How many classes each prediction lists.
        errors : {"raise", "return"}
            What happens to a picture that cannot be read: its error ends the call, or stands in
            its place in the list.

        Returns
        -------
        predictions : list of Prediction, or of Prediction and PictureError
            In the order of the pictures.

        Raises
        ------
        PictureError
            When one of them cannot be read and errors are raised.
        InputError
            When `top` is less than 1, or `errors` is another word.
        """
        if errors not in ("raise", "return"):
            raise InputError(f"errors must be raise or return, got {errors!r}")
        outcomes = []
        for outcome in self.stream(pictures, top=top):
            if errors == "raise" and isinstance(outcome, PictureError):
                raise outcome
            outcomes.append(outcome)
        return outcomes

    def predict_ink(self, ink: NDArray[np.uint8], *, top: int = 3) -> list[Prediction]:
        """What images of a data set show: they are taken as they are, unprepared.

        Parameters
        ----------
        ink : (N, 28, 28) uint8, paper = 0, full ink = 255
        top : int
            How many classes each prediction lists.

        Returns
        -------
        predictions : list of Prediction

        Raises
        ------
        ShapeError
            When `ink` has another shape or type.
        """
        _check_top(top)
        return [self._judge.prediction(answer, None, top) for answer in self.answers(ink)]

    def evaluate(self, data: Splits | str | Path, part: str = "test") -> Evaluation:
        """How good the weights are on the train, validation or test part of a data set.

        Parameters
        ----------
        data : Splits, str or Path
            As `load_data` takes it.
        part : {"test", "validation", "train"}

        Raises
        ------
        InputError
            As `load_data`, or when the part has no images.
        """
        images = self.load_data(data).part_with_images(part)
        scores = self._judge.cool(self.scores(images.images))
        return evaluate(scores, images.labels, self.class_names)

    def load_data(self, data: Splits | str | Path, *, skip_damaged: bool = False) -> Splits:
        """What `lenet.load_dataset` gave, or takes: pictures prepared as these weights need them.

        Raises InputError when the data cannot be had, or their classes are not the weights'.
        """
        from lenet.data.datasets import load_dataset  # whoever only predicts need not wait for it

        if not isinstance(data, Splits):
            own = "auto" if data in DATASETS else self.checkpoint.preprocessing.preparation
            data = load_dataset(data, preparation=own, skip_damaged=skip_damaged)
        if data.class_names != self.class_names:
            raise InputError(
                f"these weights tell {', '.join(self.class_names[:12])} apart, "
                f"{data.name} has the classes {', '.join(data.class_names[:12])}"
            )
        return data

    def scores(self, ink: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, classes) of (N, 28, 28) uint8, which is taken as it is; larger is better."""
        check_ink(ink, "predict takes pictures of any shape")
        return self.engine.scores(self._module, ink, self.checkpoint.preprocessing)

    def explain(self, picture: Picture, *, top: int = 3) -> Explanation:
        """A prediction and everything that led to it.

        Parameters
        ----------
        picture : path, bytes, open file, PIL.Image.Image or numpy array
        top : int
            How many classes the prediction lists.

        Returns
        -------
        explanation : Explanation

        Raises
        ------
        PictureError
            When the picture cannot be read.
        InputError
            When `top` is less than 1.
        """
        _check_top(top)
        grey = read_picture(picture)
        ink = to_ink(grey, self.checkpoint.preprocessing.preparation)
        images = self.checkpoint.preprocessing.apply(ink.ink[None])
        layers = self._layers.activations(images)
        (answer,) = self._judge.answers(layers["output"], layers)
        return Explanation(
            grey=grey,
            ink=ink,
            activations={name: layer[0] for name, layer in layers.items()},
            probabilities=answer.probabilities,
            class_names=self.class_names,
            prediction=self._judge.prediction(answer, ink, top),
            codes=self.checkpoint.model.weights.get("output.centers"),
        )

    def answers(self, ink: NDArray[np.uint8]) -> Answers:
        """What the network says of (N, 28, 28) uint8, which is taken as it is."""
        preprocessing = self.checkpoint.preprocessing
        layers = layers_of(self._layers, ink, preprocessing, self._judge.layers)
        return self._judge.answers(self.scores(ink), layers)


def _readers(processes: int) -> Executor:
    if not processes:
        return ThreadPoolExecutor(min(_READERS, thread_count()))
    # Not `fork`: this process may have threads, and a child would wait for them.
    context = multiprocessing.get_context("spawn")
    # Ctrl-C is the parent's to answer.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    return ProcessPoolExecutor(processes, context, signal.signal, ignore)


def _read(picture: Picture, preparation: Preparation) -> Ink:
    shared = isinstance(picture, Image.Image) or hasattr(picture, "read")
    with _open_file if shared else contextlib.nullcontext():
        grey = read_picture(picture)
    return to_ink(grey, preparation)


def _try_read(picture: Picture, preparation: Preparation) -> Ink | PictureError:
    try:
        return _read(picture, preparation)
    except PictureError as error:
        return error


def _check_top(top: int) -> None:
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}")
