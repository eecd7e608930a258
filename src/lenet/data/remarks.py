"""What a person should know of a data set before believing its accuracy: one sentence for each."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.data.splits import Splits

FEW = 10
"""Pictures of a class, or of the test part, below which a remark is made."""

_GUESS = 0.9  # of the test part in one class
_NAMED = 5


def remark_on(splits: Splits) -> tuple[str, ...]:
    """Few pictures, pictures that are in two parts, and classes so unequal that guessing is good.

    Parameters
    ----------
    splits : Splits

    Returns
    -------
    remarks : tuple of str
        Empty for a data set that is as it should be.
    """
    remarks = (_few(splits), _short_test(splits), _duplicates(splits), _guessing(splits))
    return tuple(filter(None, remarks))


def _few(splits: Splits) -> str:
    names = splits.class_names
    parts = (splits.train, splits.validation, splits.test)
    counts = np.sum([part.count(len(names)) for part in parts], axis=0)
    few = [f"{name} ({n})" for name, n in zip(names, counts, strict=True) if n < FEW]
    if not few:
        return ""
    classes = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
    return f"{classes} fewer than ten pictures, too few to learn or to measure: {_some(few)}."


def _short_test(splits: Splits) -> str:
    n = len(splits.test)
    if n < FEW:
        images = "1 image" if n == 1 else f"{n} images"
        return f"The test part has {images}: its accuracy is hardly more than chance; add pictures."
    counts = splits.test.count(len(splits.class_names))
    absent = [name for name, n in zip(splits.class_names, counts, strict=True) if not n]
    return f"The test part has no image of: {_some(absent)}." if absent else ""


def _duplicates(splits: Splits) -> str:
    known = {_key(image) for part in (splits.train, splits.validation) for image in part.images}
    n = sum(_key(image) in known for image in splits.test.images)
    if not n:
        return ""
    images = "1 test image is" if n == 1 else f"{n} test images are"
    return (
        f"{images} also in the training or validation part, to the last pixel: "
        "the test accuracy is better than it should be; remove the copies."
    )


def _key(image: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _guessing(splits: Splits) -> str:
    if not len(splits.test):
        return ""
    counts = splits.test.count(len(splits.class_names))
    share = counts.max() / len(splits.test)
    if share < _GUESS:
        return ""
    name = splits.class_names[int(counts.argmax())]
    percent = f"{100 * share:.0f} %"
    return (
        f"{percent} of the test images are {name!r}: to answer that always is {percent} right, "
        "so look at the other classes' recall, not at the accuracy."
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
