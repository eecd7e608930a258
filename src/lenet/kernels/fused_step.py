"""A training step but its update, as torch sees it: scores, and gradients in their place."""

from functools import lru_cache, partial
from operator import attrgetter, is_

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, empty_like

from lenet.data.preprocessing import Preprocessing
from lenet.errors import EngineError
from lenet.kernels.compiled import (
    WORKSPACES_KEPT,
    Workspace,
    check_range,
    owned,
    scaling,
    view_of,
    words,
)
from lenet.kernels.coverage import Coverage

_grad = attrgetter("grad")


class FusedStep:
    """See `lenet.engines.Engine.backprop`; its kernel is compiled when this is made.

    What stays the same from step to step is looked up once: between kernels that sweep the caches,
    every small operation is slow.

    Parameters
    ----------
    coverage : Coverage
    ink : (N, 28, 28) uint8
    labels : (N,) int64
    preprocessing : Preprocessing
    loss : (2,) or (1 + classes,) float32
        Label smoothing, and the weight of one image's loss, or that of an image of each class.
    distorted : bool
        Whether the coming steps have matrices: what is compiled now. Others are compiled later.
    """

    def __init__(
        self,
        coverage: Coverage,
        ink: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        loss: Tensor,
        distorted: bool,
    ) -> None:
        self._coverage, self._parameters = coverage, coverage.parameters()
        self._n_images, self._labels = len(ink), labels
        self._set = [owned(words(ink)), owned(scaling(preprocessing))]
        self._settings, self._weighted = owned(loss), len(loss) > 2
        self._order: Tensor | None = None
        self._order_version = -1
        self._labels_version = -1  # whether they are in range is checked once
        self._places: list[int] = []
        self._grads: list[Tensor | None] = []
        self._workspaces = lru_cache(maxsize=WORKSPACES_KEPT)(
            partial(Workspace, coverage.compiled().architecture)
        )
        coverage.compiled(coverage.drops_out).kernel(_kernel(distorted, self._weighted))

    def __call__(self, indices: Tensor, matrices: NDArray[np.float32] | None = None) -> Tensor:
        """Scores of some images; their gradient is left in the parameters."""
        # Batches are slices of an epoch's order: it is checked as a whole, once.
        whole = indices if indices._base is None else indices._base
        if whole is not self._order or whole._version != self._order_version:
            self._check_order(whole, indices)
        if self._labels._version != self._labels_version:
            self._take_labels()
        if [*map(Tensor.data_ptr, self._parameters)] != self._places or not all(
            map(is_, map(_grad, self._parameters), self._grads)
        ):
            self._take_parameters()
        masks = self._coverage.masks(len(indices))
        workspace = self._workspaces(len(indices), matrices is not None)
        workspace.choose(indices, matrices)
        self._coverage.compiled(bool(masks)).kernel(_kernel(matrices is not None, self._weighted))(
            *self._set,
            self._labels_view,
            *workspace.chosen,
            self._settings,
            *self._weights,
            *map(view_of, masks),
            *workspace.partial_sums,
            *self._gradients,
            workspace.scores_view,
        )
        return workspace.scores.clone()

    def _check_order(self, whole: Tensor, indices: Tensor) -> None:
        try:
            check_range("index", whole, self._n_images, "images")
        except (IndexError, ValueError):  # what is wrong may lie elsewhere
            check_range("index", indices, self._n_images, "images")
        else:
            self._order, self._order_version = whole, whole._version

    def _take_labels(self) -> None:
        check_range("label", self._labels, self._coverage.classes, "classes")
        self._labels_version = self._labels._version
        self._labels_view = owned(self._labels.contiguous())

    def _take_parameters(self) -> None:
        if not self._coverage.fits(self._parameters):
            raise EngineError(
                "the parameters have another shape, type or device than when backprop was called; "
                "call backprop again"
            )
        # Held: a frozen parameter's gradient has no other owner, and views keep nothing alive.
        self._held = [_gradient(p) for p in self._parameters]
        weights = self._coverage.compiled().weights
        self._gradients, self._weights = weights(self._held), weights(self._parameters)
        self._places = [*map(Tensor.data_ptr, self._parameters)]
        self._grads = [*map(_grad, self._parameters)]


def _kernel(distorted: bool, weighted: bool) -> str:
    return f"step{'_distorted' if distorted else ''}{'_weighted' if weighted else ''}"


def _gradient(parameter: Tensor) -> Tensor:
    """Where a parameter's gradient goes: its own, made if need be; elsewhere if it has none."""
    gradient = parameter.grad
    if gradient is None or not gradient.is_contiguous():
        gradient = empty_like(parameter)
        if parameter.requires_grad:
            parameter.grad = gradient
    return gradient
