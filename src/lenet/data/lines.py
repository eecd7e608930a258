"""Lines that are no strokes: frames, axes, cells, ruled and squared paper, underlines.

A line is long, thin and straight, and stands upright or lies. It is taken out where it is not part
of what is drawn; a stroke that crosses it stays whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lenet.data.morphology import (
    Box,
    Levels,
    Mask,
    Pieces,
    box_of,
    dilated,
    draw_runs,
    find_pieces,
    find_runs,
    sides_of,
    stroke_width,
    widest,
)

_LEAST_SIDE = 64  # pixels: in a smaller picture a stroke is as straight and thin as a line
_LEAST_LENGTH = 0.12  # of the picture's long side: shorter stretches are not looked at
_WIDEST_LINE = 0.04  # of the picture's long side: what is wider is a stroke
_SLENDER = 6  # a line is so many times longer than it is wide
_FRAME = 3  # lines at least make a frame, or axes
_NEAR = 4  # pixels: a line that ends so near to the border goes on beyond it
_BEYOND = 0.05  # of its length: so far a line that is none of the strokes goes on at both ends
_THIN, _FAINT = 0.6, 0.75  # of the strokes' width and strength: a line is thinner, or paler
_PALER = 1.2  # of pale lines' strength: ink is stronger
_LEAST_REST = 0.1  # of the picture's short side: what is left when lines are gone must be so large


@dataclass(frozen=True, eq=False)
class _Line:
    """A long thin straight stretch of a mask.

    Parameters
    ----------
    mask : (H, W) bool
    box : (top, left, bottom, right)
    width : float
    lies : bool
        Whether it lies; else it stands.
    """

    mask: Mask
    box: Box
    width: float
    lies: bool

    @property
    def span(self) -> tuple[int, int]:
        """From where to where it goes, along itself."""
        top, left, bottom, right = self.box
        return (left, right) if self.lies else (top, bottom)

    @property
    def length(self) -> int:
        return self.span[1] - self.span[0]


def remove_lines(mask: Mask, signal: Levels) -> tuple[Mask, bool]:
    """What is drawn without the lines around, beside and across it.

    First goes what frames something: a piece made of lines in whose box another piece lies. Then
    lines from border to border that are thinner or paler than what is left without them. Then
    lines that reach beyond all else at both ends; at last those that lie apart from it, below.

    Parameters
    ----------
    mask, signal : (H, W) bool and float
        As `lenet.data.paper` gives them.

    Returns
    -------
    mask : (H, W) bool
    removed : bool
        Whether there were any lines. Nothing is taken out when nothing would be left.
    """
    lines = find_lines(mask) if max(mask.shape) >= _LEAST_SIDE else []
    if not lines:
        return mask, False
    before = mask
    mask = _without_frames(mask, lines)
    mask = _without(mask, signal, lines, _crosses_the_picture)
    for is_line in (_reaches_beyond, _lies_apart):
        for line in sorted(lines, key=lambda line: -line.length):
            left = replace(line, mask=line.mask & mask)
            if _is_outermost(line, box_of(mask)) and left.mask.any():
                mask = _without(mask, signal, [left], is_line)
    return mask, mask is not before


def _is_outermost(line: _Line, box: Box) -> bool:
    """Whether nothing goes on beyond both ends of a line, or it lies below all else: a first look.

    That a line is none of the strokes takes this and more.
    """
    top, left, bottom, right = box
    start, stop = (left, right) if line.lies else (top, bottom)
    ends = line.span[0] <= start + _NEAR and line.span[1] >= stop - _NEAR
    return ends or (line.lies and line.box[2] >= bottom - _NEAR)


def find_lines(mask: Mask) -> list[_Line]:
    """All long thin straight stretches that lie or stand, whatever they are part of."""
    return [
        *_lying(mask, True),
        *(
            _Line(
                line.mask.T, (line.box[1], line.box[0], line.box[3], line.box[2]), line.width, False
            )
            for line in _lying(np.ascontiguousarray(mask.T), False)
        ),
    ]


def _lying(mask: Mask, lies: bool) -> list[_Line]:
    """Stretches that lie; a tilt of a few degrees is bridged by the rows above and below."""
    long_side = max(mask.shape)
    rows, starts, stops = find_runs(widest(mask.view(np.uint8), 3, 0).view(bool))
    long = stops - starts >= max(16, _LEAST_LENGTH * long_side)
    if not long.any():
        return []
    height, width = mask.shape
    stretches = find_pieces(draw_runs((height, width), rows[long], starts[long], stops[long]))
    lines = []
    boxes, areas = stretches.boxes, stretches.areas
    wide = boxes[:, 3] - boxes[:, 1]
    # Two rows belong to the tilt; a stroke is thicker than a line may be.
    slim = areas < wide * (max(3, _WIDEST_LINE * long_side) + 2) * 2
    for number in np.flatnonzero(slim & (wide > 0))[:64]:
        stretch, (top, left, bottom, right) = stretches.cut(int(number))
        stretch &= mask[top:bottom, left:right]
        columns = stretch.sum(0)
        # Where it runs into strokes it is wider.
        width = float(np.percentile(columns[columns > 0], 25))
        if width <= max(3, _WIDEST_LINE * long_side) and right - left >= _SLENDER * width:
            line = np.zeros_like(mask)
            line[top:bottom, left:right] = _alone(stretch, width)
            box = top, left, bottom, right
            lines.append(_Line(line, box, width, lies))
    return lines


def _alone(stretch: Mask, width: float) -> Mask:
    """A lying line without what is thicker: it goes on through that as it does beside it."""
    rows, columns = np.arange(len(stretch))[:, None], np.arange(stretch.shape[1])
    thickness = stretch.sum(0)
    thin = (thickness > 0) & (thickness <= 1.5 * width + 1)
    middles = (stretch * rows).sum(0)[thin] / thickness[thin]
    middle = np.interp(columns, columns[thin], middles)
    return np.asarray(stretch & (abs(rows - middle) <= width / 2 + 1))


def _without_frames(mask: Mask, lines: list[_Line]) -> Mask:
    """Without pieces that are made of lines and have another piece in their box."""
    if len(lines) < _FRAME:
        return mask
    pieces = find_pieces(mask)
    if pieces.count < 2:
        return mask
    drawn = np.logical_or.reduce([line.mask for line in lines])
    on_lines = _areas_on(pieces, drawn)
    boxes = pieces.boxes
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(1)
    frames = np.zeros(pieces.count, bool)
    for number in np.flatnonzero(on_lines > 0.6 * pieces.areas):
        top, left, bottom, right = boxes[number]
        within = (
            (boxes[:, 0] > top) & (boxes[:, 1] > left)
            & (boxes[:, 2] < bottom) & (boxes[:, 3] < right)
        )  # fmt: skip
        frames[number] = (within & (sizes > 0.2 * min(bottom - top, right - left))).any()
    return mask & ~pieces.mask(frames) if frames.any() else mask


def _areas_on(pieces: Pieces, mask: Mask) -> np.ndarray:
    """How many points of each piece are on a mask: (count,)."""
    before = np.zeros((mask.shape[0], mask.shape[1] + 1), np.intp)
    np.cumsum(mask, axis=1, out=before[:, 1:])
    on_mask = before[pieces.rows, pieces.stops] - before[pieces.rows, pieces.starts]
    return np.bincount(pieces.piece_of, on_mask, pieces.count)


# Which lines are none of the strokes --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rest:
    """What is left when some lines are gone: where, how wide its strokes are, how strong."""

    ink: Mask
    box: Box
    stroke: float
    level: float


_Judge = Callable[[_Line, _Rest | None, Levels], bool]
"""Whether a line is none of the strokes, beside the rest; without a rest: whether it may be."""


def _without(mask: Mask, signal: Levels, lines: list[_Line], is_line: _Judge) -> Mask:
    """Take out those lines that are some, judged beside what is left without all like them."""
    suspects = [line for line in lines if is_line(line, None, signal)]
    if not suspects:
        return mask
    rest = _rest(mask & ~_covered(suspects), signal)
    if rest is None:
        return mask
    guilty = [line for line in suspects if is_line(line, rest, signal)]
    for line in guilty:
        mask = _taken_out(mask, line, signal, rest)
    # What is left of pale lines beside strokes is as pale.
    strengths = [_strength(line, signal) for line in guilty]
    pale = [strength for strength in strengths if strength < _FAINT * rest.level]
    return np.asarray(mask & (signal > _PALER * max(pale))) if pale else mask


def _rest(mask: Mask, signal: Levels) -> _Rest | None:
    pieces = find_pieces(mask)
    if not pieces.count:
        return None
    areas = pieces.areas
    large = areas > 0.1 * areas.max()
    boxes = pieces.boxes[large]
    top, left = (int(side) for side in boxes[:, :2].min(0))
    bottom, right = (int(side) for side in boxes[:, 2:].max(0))
    if max(bottom - top, right - left) < _LEAST_REST * min(mask.shape):
        return None
    part = pieces.mask(large)[top:bottom, left:right]
    level = float(np.percentile(signal[top:bottom, left:right][part], 70))
    return _Rest(mask, (top, left, bottom, right), stroke_width(part), level)


def _covered(lines: list[_Line]) -> Mask:
    """The lines with the grey edges that belong to them."""
    return dilated(np.logical_or.reduce([line.mask for line in lines]), 3, 3)


def _crosses_the_picture(line: _Line, rest: _Rest | None, signal: Levels) -> bool:
    side = signal.shape[1] if line.lies else signal.shape[0]
    if rest is None:
        return line.span[0] <= _NEAR and line.span[1] >= side - _NEAR
    return _is_weak(line, rest, signal) or _reaches_beyond(line, rest, signal)


def _reaches_beyond(line: _Line, rest: _Rest | None, signal: Levels) -> bool:
    if rest is None:
        return bool(line.length > 0.3 * min(signal.shape))
    top, left, bottom, right = rest.box
    start, stop = (left, right) if line.lies else (top, bottom)
    margin = _BEYOND * line.length
    ratio = line.length / max(sides_of(rest.box))
    # The stem of a 4 is longer than the rest of it, but as wide.
    longer = ratio > (1.15 if _is_weak(line, rest, signal) else 1.8)
    return bool(longer and line.span[0] < start - margin and line.span[1] > stop + margin)


def _is_weak(line: _Line, rest: _Rest, signal: Levels) -> bool:
    """Whether a line is thinner or paler than the strokes."""
    return _strength(line, signal) < _FAINT * rest.level or line.width < _THIN * rest.stroke


def _lies_apart(line: _Line, rest: _Rest | None, signal: Levels) -> bool:
    """An underline: below all else, and not connected with it."""
    if rest is None:
        return line.lies
    below = line.box[0] - rest.box[2]
    height, width = sides_of(rest.box)
    # The foot of a 1 is shorter, or nearer.
    return below > 1 and line.length > 0.6 * (width if below > 0.1 * height else max(height, width))


def _strength(line: _Line, signal: Levels) -> float:
    return float(np.median(signal[line.mask]))


def _taken_out(mask: Mask, line: _Line, signal: Levels, rest: _Rest) -> Mask:
    """The mask without a line, but with the strokes that cross it.

    A point of the line stays where ink comes near from both sides, or is as strong as ink that is
    stronger than the line.
    """
    if not line.lies:
        turned = replace(line, mask=line.mask.T, lies=True)
        other = replace(rest, ink=rest.ink.T)
        return _taken_out(mask.T, turned, signal.T, other).T
    covered = dilated(line.mask, 3, 3) & mask
    reach = int(np.ceil(line.width)) + 6
    ink = widest(rest.ink.view(np.uint8), reach // 2 * 2 + 1, 1)
    above, below = np.zeros_like(ink), np.zeros_like(ink)
    for step in range(1, reach + 1):
        above[step:] |= ink[:-step]
        below[:-step] |= ink[step:]
    stays = above.view(bool) & below.view(bool)
    if _strength(line, signal) < _FAINT * rest.level:
        stays |= signal > (1 + _FAINT) / 2 * rest.level
    return np.asarray(mask & ~(covered & ~stays))
