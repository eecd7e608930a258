"""What belongs to one digit: its pieces, chained by how near they are to each other."""

import numpy as np
from numpy.typing import NDArray

from lenet.data.morphology import Mask, Pieces, find_pieces, stroke_width, touches_edge

_SPECK = 0.02  # of the largest piece's area: less is dirt
_DOT = 1.75  # of the stroke's width: a shorter piece is a dot, and no digit has one
_ADJACENT = 0.3  # of the stroke's width: what is so near belongs to the stroke, however short it is
_GAP = 0.17  # of the digit's size: what is farther apart is another object
_GAP_OF_SHORT = 0.33  # of both together: so far a piece that is no digit may be; of MNIST's 98 %
_BESIDE = 0.045  # of the digit's size: two upright pieces so far apart are two digits
_UPRIGHT = 0.65  # of the digit's height: a piece so high stands beside it, and is not its bar
_AS_LARGE = 0.4  # of the digit's size: another object that large is worth a doubt
_POINTS = 160  # of a piece's outline, from which distances are measured


def one_object(mask: Mask) -> tuple[Mask, bool]:
    """The pieces of the largest object, and whether there are others.

    It begins with the largest piece; one that runs out of the picture counts a quarter, because a
    shadow or a table's edge does. The nearest piece is added as long as the gap is small, dots
    left out. A piece that stands beside, upright and apart, is another digit.

    Parameters
    ----------
    mask : (H, W) bool

    Returns
    -------
    object : (H, W) bool
    several : bool
    """
    pieces = find_pieces(mask)
    if pieces.count == 1:
        return mask, False
    areas, boxes = pieces.areas, pieces.boxes
    at_edge = np.array([touches_edge(tuple(box), mask.shape) for box in boxes])
    weights = areas * np.where(at_edge, 0.25, 1)
    main = int(weights.argmax())
    # At most so many: of a thousand specks none matters.
    order = np.argsort(-weights, kind="stable")[:40]
    others = [
        int(piece) for piece in order if piece != main and weights[piece] >= _SPECK * areas[main]
    ]
    if not others:
        return pieces.mask(np.arange(pieces.count) == main), False
    stroke = stroke_width(pieces.mask(np.arange(pieces.count) == main))
    outlines = {piece: _outline(pieces, piece) for piece in (main, *others)}
    chosen, refused = [main], []
    gaps = {piece: _gap(outlines[piece], outlines[main]) for piece in others}
    while gaps:
        piece = min(gaps, key=lambda other: gaps[other])
        gap = gaps.pop(piece)
        size = _longer_side(_union(boxes[chosen]))
        long = _longer_side(boxes[piece])
        if gap >= _widest_gap(boxes, chosen, piece):
            refused.append((piece, long, size))
        elif _stands_beside(pieces, piece, chosen, gap):
            refused.append((piece, max(long, size), size))
        elif long >= _DOT * stroke or gap <= _ADJACENT * stroke:
            chosen.append(piece)
            for other in gaps:
                gaps[other] = min(gaps[other], _gap(outlines[other], outlines[piece]))
    several = any(
        long > _AS_LARGE * size and weights[piece] > 0.04 * areas[main]
        for piece, long, size in refused
    )
    return pieces.mask(np.isin(np.arange(pieces.count), chosen)), several


def _outline(pieces: Pieces, piece: int) -> NDArray[np.float32]:
    points = pieces.edge_points(piece)
    return points[:: 1 + len(points) // _POINTS].astype(np.float32)


def _gap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pixels of paper between two outlines where they are nearest."""
    apart = one[:, None] - other[None]
    return float(np.sqrt((apart**2).sum(-1).min())) - 1


def _widest_gap(boxes: NDArray[np.intp], chosen: list[int], piece: int) -> float:
    """How far a piece may be from what was chosen.

    A short one, as of an open 4, is no digit itself, and may be as far away as it is long.
    """
    box, (top, _, bottom, _) = _union(boxes[chosen]), boxes[piece]
    near = _GAP * _longer_side(box)
    if bottom - top >= _UPRIGHT * (box[2] - box[0]):
        return near
    far = _GAP_OF_SHORT * _longer_side(_union(boxes[[*chosen, piece]]))
    return max(near, min(far, _longer_side(boxes[piece])))


def _longer_side(box: NDArray[np.intp]) -> int:
    return int(max(box[2] - box[0], box[3] - box[1]))


def _union(boxes: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _stands_beside(pieces: Pieces, piece: int, chosen: list[int], gap: float) -> bool:
    """Whether a piece and what was chosen are two upright things, one to the right of the other."""
    mine, theirs = pieces.piece_of == piece, np.isin(pieces.piece_of, chosen)
    (top, bottom), left, right = _sides(pieces, mine)
    (other_top, other_bottom), other_left, other_right = _sides(pieces, theirs)
    height, other_height = bottom - top, other_bottom - other_top
    size = max(height, other_height)
    common = (right >= 0) & (other_right >= 0)
    if min(height, other_height) < _UPRIGHT * size or common.sum() < 0.3 * size:
        return False
    apart = np.maximum(left - other_right, other_left - right)[common].min()
    # Where they come nearest they do so sideways.
    return bool(gap > _BESIDE * size and apart < 2 * gap + 0.05 * size and apart > 0)


def _sides(
    pieces: Pieces, runs: Mask
) -> tuple[tuple[int, int], NDArray[np.intp], NDArray[np.intp]]:
    """Top and bottom of what these runs draw, and in each row its left and right end (−1: none)."""
    height, width = pieces.shape
    left, right = np.full(height, width), np.full(height, -1)
    np.minimum.at(left, pieces.rows[runs], pieces.starts[runs])
    np.maximum.at(right, pieces.rows[runs], pieces.stops[runs])
    rows = pieces.rows[runs]
    return (int(rows.min()), int(rows.max()) + 1), left, right
