"""The peers: each does the same training step or the same inference in its own way."""

import importlib.util
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from lenet.benchmark.limits import Work
from lenet.benchmark.results import Contest
from lenet.data.preprocessing import PADDED_SIZE, Preprocessing
from lenet.data.splits import Split
from lenet.engines import Engine
from lenet.export.onnx import onnx_model
from lenet.networks import LeNet, build_network
from lenet.training.optimizers import flatten

PEERS = (
    "lenet",
    "lenet-fuse",
    "torch-eager",
    "torch-channels-last",
    "torch-compile",
    "article",
    "onnxruntime",
)
_PREPROCESSING = Preprocessing("plain")
_SEED = 0
_LEARNING_RATE = 0.001
_WARM_UP_STEPS = 3
_PART_SIZES = (64, 256)  # a peer may walk a large batch in parts where that is faster for it
_COMPILERS = ("g++", "clang++", "cl")


class LeftOutError(Exception):
    """A peer cannot take part on this machine; the message says why."""


def takes_part(who: str, contest: Contest) -> bool:
    """Whether a contest is any of a peer's business.

    ONNX Runtime does not train. `lenet-fuse` scores as `lenet` does. The article's pipeline is its
    own network, batch size and loop.
    """
    if who == "onnxruntime":
        return contest.task == "inference"
    if who == "lenet-fuse":
        return contest.task == "training"
    if who == "article":
        return contest == Contest("training", "tutorial", 64)
    return True


def prepare(who: str, contest: Contest, engine: Engine, data: Split) -> Work:
    """A peer at the start line: built, compiled and warm.

    Raises
    ------
    LeftOutError
        When what it needs is not installed.
    """
    work: Work
    if contest.task == "training":
        if who in OUR_STEPS:
            work = OUR_STEPS[who](contest, engine, data).work
        elif who == "article":
            work = _article_training(contest, data)
        else:
            work = _torch_training(who, contest, data)
    elif who == "onnxruntime":
        work = _onnxruntime_inference(contest, data)
    else:
        work = _torch_inference(who, contest, engine, data)
    work(_WARM_UP_STEPS)
    return work


class OurStep:
    """A training step of `lenet train`, whole or with a clock after each stage."""

    stages: tuple[str, ...] = ("learn", "update")

    def __init__(self, contest: Contest, engine: Engine, data: Split) -> None:
        network = _network(contest)
        self.engine = engine
        self.module = engine.compile(network)
        self.optimizer = _fused_adam(self._weights(network))
        self.images, self.labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        self.batches, self.batch_size = _batches(contest, data), contest.batch_size
        self.walk = self._walk()

    def _weights(self, network: LeNet) -> list[nn.Parameter]:
        return [flatten(network)]

    def work(self, steps: int) -> None:
        """Do so many steps."""
        with self.engine.cores():
            for _ in itertools.islice(self.walk, steps * len(self.stages)):
                pass

    def times(self, steps: int) -> dict[str, list[float]]:
        """Seconds of each stage, step by step."""
        taken: dict[str, list[float]] = {stage: [] for stage in self.stages}
        with self.engine.cores():
            start = time.perf_counter()
            for stage in itertools.islice(self.walk, steps * len(self.stages)):
                end = time.perf_counter()
                taken[stage].append(end - start)
                start = time.perf_counter()
        return taken

    def _walk(self) -> Iterator[str]:
        """Step after step; yields the name of the stage it has just done."""
        backprop = self.engine.backprop(
            self.module, self.images, self.labels, _PREPROCESSING, weight=1 / self.batch_size
        )
        update = self.engine.updater(self.optimizer)
        for indices in self.batches:
            backprop(indices)
            yield "learn"
            update()
            yield "update"


class FusedStep(OurStep):
    """The same with `lenet.fuse` and torch around it: any loss, any optimizer."""

    stages = ("gather", "forward", "loss", "backward", "update")

    def _weights(self, network: LeNet) -> list[nn.Parameter]:
        return list(network.parameters())

    def _walk(self) -> Iterator[str]:
        for indices in self.batches:
            images = self.engine.gather(self.images, indices, _PREPROCESSING)
            yield "gather"
            scores = self.module(images)
            yield "forward"
            loss = functional.cross_entropy(scores, self.labels[indices])
            yield "loss"
            loss.backward()  # type: ignore[no-untyped-call]
            yield "backward"
            self.optimizer.step()
            self.optimizer.zero_grad()
            yield "update"


OUR_STEPS: dict[str, type[OurStep]] = {"lenet": OurStep, "lenet-fuse": FusedStep}


def _network(contest: Contest) -> LeNet:
    """The same start for every peer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return build_network(contest.network)


def _batches(contest: Contest, data: Split) -> Iterator[Tensor]:
    """Shuffled indices, epoch after epoch: (batch_size,) int64 each."""
    generator = torch.Generator().manual_seed(_SEED)
    full = len(data) - len(data) % contest.batch_size
    while True:
        yield from torch.randperm(len(data), generator=generator)[:full].view(
            -1, contest.batch_size
        )


def _fused_adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Torch's fastest Adam on a CPU: for the peers in memory as for us."""
    return torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)


def _torch_training(who: str, contest: Contest, data: Split) -> Work:
    """The whole set in memory as float32 images; gathering a batch is one indexing."""
    network = _network(contest)
    images = torch.from_numpy(_PREPROCESSING.apply(data.images))
    labels = torch.from_numpy(data.labels)
    if who == "torch-channels-last":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)

    def loss(batch: Tensor, answers: Tensor) -> Tensor:
        return functional.cross_entropy(network(batch), answers)

    compute = _compiled(loss) if who == "torch-compile" else loss
    optimizer = _fused_adam(network.parameters())
    batches = _batches(contest, data)

    def work(steps: int) -> None:
        for indices in itertools.islice(batches, steps):
            optimizer.zero_grad()
            compute(images[indices], labels[indices]).backward()
            optimizer.step()

    return work


@dataclass(frozen=True)
class ArticleImages(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The lesson's data set, one image at a time: torchvision's `Resize(32)` and `ToTensor()`."""

    data: Split

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.data.images[index])
        picture = picture.resize((PADDED_SIZE, PADDED_SIZE), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        pixels = pixels.view(PADDED_SIZE, PADDED_SIZE, 1).permute((2, 0, 1)).contiguous()
        return pixels.to(torch.float32).div(255), int(self.data.labels[index])


def _article_training(contest: Contest, data: Split) -> Work:
    """The lesson's loop: a DataLoader as it comes, Adam as it comes."""
    loader = torch.utils.data.DataLoader(
        ArticleImages(data),
        batch_size=contest.batch_size,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(_SEED),
    )
    network = _network(contest)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def work(steps: int) -> None:
        for images, labels in itertools.islice(batches, steps):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return work


def _torch_inference(who: str, contest: Contest, engine: Engine, data: Split) -> Work:
    """Scores of float32 images that lie ready."""
    network = _network(contest).eval()
    images = torch.from_numpy(_PREPROCESSING.apply(data.images[: contest.batch_size]))
    module: Callable[[Tensor], Tensor] = network
    if who == "lenet":
        module = engine.compile(network).eval()
    elif who == "torch-channels-last":
        module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)
    elif who == "torch-compile":
        module = _compiled(network)

    def in_parts(size: int) -> Work:
        parts = [images[first : first + size] for first in range(0, len(images), size)]

        def work(steps: int) -> None:
            with torch.no_grad():
                for part in itertools.chain.from_iterable(itertools.repeat(parts, steps)):
                    module(part)

        return work

    return _fastest(in_parts, contest)


def _onnxruntime_inference(contest: Contest, data: Split) -> Work:
    for package in ("onnxruntime", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise LeftOutError(f"{package} is not installed; the extra 'bench' brings it")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        onnx_model(_network(contest)), options, providers=["CPUExecutionProvider"]
    )
    images = _PREPROCESSING.apply(data.images[: contest.batch_size])

    def in_parts(size: int) -> Work:
        parts = [images[first : first + size] for first in range(0, len(images), size)]

        def work(steps: int) -> None:
            for part in itertools.chain.from_iterable(itertools.repeat(parts, steps)):
                session.run(None, {"images": part})

        return work

    return _fastest(in_parts, contest)


def _fastest(in_parts: Callable[[int], Work], contest: Contest) -> Work:
    """The batch in one call or in parts that fit a cache: whichever is faster for this peer."""
    sizes = [size for size in _PART_SIZES if size < contest.batch_size] + [contest.batch_size]
    works = [in_parts(size) for size in sizes]
    return min(works, key=_seconds_of_a_step) if len(works) > 1 else works[0]


def _seconds_of_a_step(work: Work) -> float:
    """The best of three, warm."""
    work(1)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work(1)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if not os.environ.get("CXX") and not any(map(shutil.which, _COMPILERS)):
        raise LeftOutError(f"torch.compile needs a C++ compiler: none of {', '.join(_COMPILERS)}")
    return torch.compile(function)
