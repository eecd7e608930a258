"""Networks in torch, on any device: what every engine can do, done without kernels of our own."""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet import threads
from lenet.data.distortions import CENTRE
from lenet.data.preprocessing import BORDER, PADDED_SIZE, Preprocessing, check_ink
from lenet.errors import ShapeError
from lenet.networks.models import Model
from lenet.networks.recognition import as_lenet

_SCORES_CHUNK = 1024  # images scored at once: what torch's activations may take of memory
_FEW = 64  # images that one thread scores within a millisecond of what several take


class Backprop(Protocol):
    """See `Engine.backprop`."""

    def __call__(self, indices: Tensor, matrices: NDArray[np.float32] | None = None) -> Tensor:
        """Scores of some images; their gradient is left in the parameters."""


class Engine:
    """A way to run networks on a device: torch's own here. Get one from `select_engine`.

    Parameters
    ----------
    device : torch.device
    notice : str
        One line for the user: what was taken and why.
    """

    name = "torch"

    def __init__(self, device: torch.device, notice: str) -> None:
        self.device = device
        self.notice = notice

    def __repr__(self) -> str:
        return f"<{self.notice}>"

    def load(self, model: Model) -> nn.Module:
        """Stored weights, ready to score."""
        return self.compile(model.build())

    def compile(self, network: nn.Module) -> nn.Module:
        """The network on the device, ready to train or to score.

        Parameters
        ----------
        network : LeNet
            Or another's module: see `lenet.networks.recognition.as_lenet`.

        Returns
        -------
        module : nn.Module
            Shares every parameter and buffer with `network`, which is moved to the device.
        """
        return as_lenet(network).to(self.device)

    def compile_scoring(self, module: nn.Module) -> None:
        """Compile now what `scores` would compile at its first call; torch compiles nothing."""

    def cores(self) -> contextlib.AbstractContextManager[None]:
        """Hold this around a training: the cores go to the engine, and back afterwards."""
        return contextlib.nullcontext()

    def gather(
        self,
        ink: Tensor,
        indices: Tensor,
        preprocessing: Preprocessing,
        matrices: NDArray[np.float32] | None = None,
    ) -> Tensor:
        """Some images of a data set as network input.

        Parameters
        ----------
        ink : (N, 28, 28) uint8, paper = 0, full ink = 255
        indices : (B,) int64, 0 … N − 1
        preprocessing : Preprocessing
        matrices : (B, 2, 3) float32, optional
            Distortions, one for each image: see `lenet.data.distortions`.

        Returns
        -------
        images : (B, 1, 32, 32) float32 on the device

        Raises
        ------
        ShapeError
            When an argument has another shape or type.
        IndexError
            When an index is not that of an image.
        """
        check_ink(ink)
        check_chosen(indices, matrices)
        return self._gather(ink, indices, preprocessing, matrices)

    def _gather(
        self,
        ink: Tensor,
        indices: Tensor,
        preprocessing: Preprocessing,
        matrices: NDArray[np.float32] | None,
    ) -> Tensor:
        picked = ink.to(self.device)[indices.to(self.device)].float()
        if matrices is None:
            frame = nn.functional.pad(picked, (BORDER,) * 4)
        else:
            frame = _warp(picked, torch.from_numpy(matrices).to(self.device))
        # Two roundings, as `Preprocessing.apply` has them: the same bits.
        return frame.mul_(preprocessing.factor).add_(preprocessing.offset)[:, None]

    def backprop(
        self,
        module: nn.Module,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        *,
        weight: float | Tensor,
        label_smoothing: float = 0.0,
        distorted: bool = False,
    ) -> Backprop:
        """All of a training step but the update: pick images, score them, find the gradient.

        The fused engine does it in one task for each sixteen images, so that nothing in between
        leaves a core's cache; what its kernels do not cover goes through autograd.

        Parameters
        ----------
        module : nn.Module
            What `compile` returned, in training mode; its layers and hooks as they are now.
        ink : (N, 28, 28) uint8, paper = 0, full ink = 255
        labels : (N,) int64
        preprocessing : Preprocessing
        weight : float or (classes,) float32
            Weight of one image's loss, or that of an image of each class; 1 / B gives the mean over
            a batch of B.
        label_smoothing : float
            0 … 1, as in `torch.nn.functional.cross_entropy`.
        distorted : bool
            Whether the coming calls have matrices. The kernel for them is compiled now, the other
            at its first use.

        Returns
        -------
        backprop : function of indices (B,) int64 and, if wanted, matrices (B, 2, 3) float32
            As for `gather`. Gives scores (B, classes) float32, and leaves the gradient of their
            cross-entropy, and that alone, in the parameters' `grad`. Raises `ShapeError` when an
            argument has another shape or type, `IndexError` when an index is not that of an image
            or a label not that of a class.

        Raises
        ------
        ShapeError
            When an argument has another shape or type.
        """

        def error(scores: Tensor, answers: Tensor) -> Tensor:
            if not isinstance(weight, Tensor):
                total = nn.functional.cross_entropy(
                    scores, answers, label_smoothing=label_smoothing, reduction="sum"
                )
                return total * weight
            each = nn.functional.cross_entropy(
                scores, answers, label_smoothing=label_smoothing, reduction="none"
            )
            return (each * weight.to(scores.device)[answers]).sum()

        return self._through_autograd(module, ink, labels, preprocessing, error)

    def backprop_of(
        self,
        module: nn.Module,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        distorted: bool = False,
    ) -> Backprop:
        """The same for any loss: the network as `compile` made it, and autograd.

        Parameters
        ----------
        module, ink, labels, preprocessing, distorted
            As for `backprop`, and so are the errors.
        loss : function of scores (B, classes) float32 and labels (B,) int64
            Gives a scalar tensor to differentiate.
        """
        return self._through_autograd(module, ink, labels, preprocessing, loss)

    def _through_autograd(
        self,
        module: nn.Module,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        loss: Callable[[Tensor, Tensor], Tensor],
    ) -> Backprop:
        check_ink(ink)
        if labels.shape != ink.shape[:1] or labels.dtype != torch.int64:
            raise ShapeError(
                f"{len(ink)} images need labels ({len(ink)},) int64, "
                f"got {tuple(labels.shape)} {labels.dtype}"
            )

        def backprop(indices: Tensor, matrices: NDArray[np.float32] | None = None) -> Tensor:
            check_chosen(indices, matrices)
            for parameter in module.parameters():
                if parameter.grad is not None:
                    parameter.grad.zero_()
            scores: Tensor = module(self.gather(ink, indices, preprocessing, matrices))
            loss(scores, labels[indices.to(self.device)]).backward()  # type: ignore[no-untyped-call]
            return scores.detach()

        return backprop

    def updater(self, optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
        """What to call instead of `optimizer.step`: the same arithmetic on all of the cores.

        The fused engine has a kernel for Adam and AdamW over float32; it reads and writes the
        optimizer's own state. Any other optimizer takes its own step, and so does one that now has
        step hooks.
        """
        return optimizer.step

    def scores(
        self, module: nn.Module, ink: NDArray[np.uint8], preprocessing: Preprocessing
    ) -> NDArray[np.float32]:
        """Scores of a whole set: evaluation mode, nothing kept for a backward pass.

        Parameters
        ----------
        module : nn.Module
            What `compile` returned; its training mode is given back as it was.
        ink : (N, 28, 28) uint8, paper = 0, full ink = 255

        Returns
        -------
        scores : (N, classes) float32, larger is better
        """
        was_training, modes = module.training, [(m, m.training) for m in module.modules()]
        module.eval()
        # torch warns of arrays that cannot be written to.
        images = torch.from_numpy(np.require(ink, requirements=["C", "W"]))
        parts = []
        few = threads.one_torch_thread() if len(ink) <= _FEW else contextlib.nullcontext()
        try:
            with torch.no_grad(), few:
                # At least once, so that an empty set has its classes too.
                for first in range(0, max(len(ink), 1), _SCORES_CHUNK):
                    chunk = torch.arange(first, min(first + _SCORES_CHUNK, len(ink)))
                    parts.append(module(self.gather(images, chunk, preprocessing)).cpu())
        finally:
            module.train(was_training)
            for layer, mode in modes:  # a layer may have one of its own
                layer.training = mode
        scores: NDArray[np.float32] = torch.cat(parts).numpy()
        return scores


def check_chosen(indices: Tensor, matrices: NDArray[np.float32] | None) -> None:
    """Refuse what does not choose images.

    Raises
    ------
    ShapeError
    """
    if indices.ndim != 1 or indices.dtype != torch.int64:
        raise ShapeError(f"indices must be (B,) int64, got {tuple(indices.shape)} {indices.dtype}")
    if matrices is not None and (
        matrices.shape != (len(indices), 2, 3) or matrices.dtype != np.float32
    ):
        raise ShapeError(
            f"{len(indices)} images need matrices ({len(indices)}, 2, 3) float32, "
            f"got {matrices.shape} {matrices.dtype}"
        )


def _warp(ink: Tensor, matrices: Tensor) -> Tensor:
    """`lenet.data.distortions.warp` in torch, to the bit: (B, 28, 28) → (B, 32, 32)."""
    steps = torch.arange(PADDED_SIZE, dtype=torch.float32, device=ink.device) - CENTRE
    m = matrices[:, :, :, None, None]  # (B, 2, 3, 1, 1)
    # One pixel of paper around the ink: coordinates clipped to its far edge read paper alone.
    paper = nn.functional.pad(ink, (1,) * 4)
    side = paper.shape[-1]
    cells, origin = side - 1, CENTRE - BORDER + 1

    def source(axis: int) -> tuple[Tensor, Tensor]:
        """Cells of (B, 32, 32) pixels along an axis, and where in them: 0 … 1."""
        across, down = m[:, axis, 0] * steps, m[:, axis, 1] * steps[:, None]
        place = ((across + m[:, axis, 2]) + down + origin).clamp(0, cells)
        cell = place.long().clamp(max=cells - 1)
        return cell, place - cell

    (left, across), (top, down) = source(0), source(1)
    corner = (top * side + left).flatten(1)

    def level(step: int) -> Tensor:
        return paper.flatten(1).gather(1, corner + step).view_as(across)

    upper = level(0) + across * (level(1) - level(0))
    lower = level(side) + across * (level(side + 1) - level(side))
    return upper + down * (lower - upper)
