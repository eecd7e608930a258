"""Any picture a user has as grey: read safely, upright, bounded."""

import importlib
import importlib.util
import io
import os
import re
import stat
import threading
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lenet.data.signatures import HEIC, HEIF_READER, name_kind
from lenet.errors import PictureError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000
_LEAST_CONTRAST = 30  # grey levels: with less, colour is looked at
_CONTRAST_SIDE = 100  # pixels of the copy in which it is measured
MAX_SIDE = 2048
"""Larger pictures are halved, or more, while they are read."""

_ADDRESS = re.compile(r"(https?|ftp):/", re.IGNORECASE)


class File(Protocol):
    """A file opened for reading bytes: an upload, `io.BytesIO`, a pipe."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""


Picture = str | os.PathLike[str] | bytes | File | Image.Image | NDArray[Any]
"""A path, the bytes of a file, an open file, an open image or an array."""

# `warnings.catch_warnings` swaps a global list: two threads reading pictures must take turns.
_quiet = threading.Lock()


def read_picture(source: Picture) -> NDArray[np.uint8]:
    """Any picture as grey, upright, on white, at most 2048 pixels long.

    Parameters
    ----------
    source : path, bytes, open file, PIL.Image.Image or numpy array
        A file, open or not, or the bytes of one (PNG, JPEG, BMP, GIF, TIFF, WebP, PPM; the first
        frame; HEIC where pillow-heif is installed); an image in any mode; an array (H, W),
        (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, integers 0…255 or
        floats 0…1, as grey, grey + alpha, RGB or RGBA. Integers that are all 0 or 1 are a mask, as
        bool is: 1 is white.

    Returns
    -------
    grey : (H, W) uint8, black = 0, white = 255
        EXIF rotation is applied and transparency laid on white.

    Raises
    ------
    PictureError
        When there is no picture in it, or more than 64 MiB or 64 million pixels.
    """
    if isinstance(source, np.ndarray):
        return _grey(_from_array(source), "array")
    if isinstance(source, Image.Image):
        return _decode(source, "image")
    if isinstance(source, bytes):
        return _open(source, "these bytes")
    if isinstance(source, str | os.PathLike):
        if _ADDRESS.match(str(source)):
            raise PictureError(f"{source}: an address; download the picture first, give its path")
        return _open(_read_bytes(Path(source)), str(source))
    if hasattr(source, "read"):
        return _open(_read_file(source), str(getattr(source, "name", "this open file")))
    raise PictureError(
        f"a picture is a path, bytes, an open file, a PIL image or a numpy array, "
        f"got {type(source).__name__}"
    )


def _read_file(file: File) -> bytes:
    try:
        data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a closed file is a ValueError
        raise PictureError(f"this open file cannot be read ({error})") from None
    if not isinstance(data, bytes):
        raise PictureError(f"an open file must give bytes, got {type(data).__name__}; open it 'rb'")
    return data


def _read_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # Reading a pipe or a device might never end.
            kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
            raise PictureError(f"{path}: {kind}; give the path of a picture")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:  # a null character
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{str(path)!r}: not a file name ({error})") from None


def _open(data: bytes, name: str) -> NDArray[np.uint8]:
    if len(data) > MAX_BYTES:
        raise PictureError(
            f"{name}: larger than {MAX_BYTES // 2**20} MiB; save it smaller, JPEG will do"
        )
    if not data:
        raise PictureError(f"{name}: empty")
    formats: tuple[str, ...] = FORMATS
    if name_kind(data) == HEIC:
        formats = _heif_formats(name)
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: {_too_many_pixels()}") from None
    except Exception:  # Pillow's plugins raise whatever a malformed header makes them stumble on.
        kind = name_kind(data)
        what = f"{kind}, not one that is read here" if kind else "not a picture"
        raise PictureError(f"{name}: {what}; it must be one of {', '.join(FORMATS)}") from None
    with image:
        return _decode(image, name, ours=True)


def _heif_formats(name: str) -> tuple[str, ...]:
    """Pillow's name for HEIC, once something there reads it."""
    if importlib.util.find_spec(HEIF_READER) is None:
        raise PictureError(
            f"{name}: {HEIC}, as iPhones take them; export it as JPEG, or pip install pillow-heif"
        )
    importlib.import_module(HEIF_READER).register_heif_opener()
    return ("HEIF",)


def _decode(image: Image.Image, name: str, *, ours: bool = False) -> NDArray[np.uint8]:
    """Check the size before a pixel is decoded, decode, turn upright."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"{name}: {width} × {height} is {_too_many_pixels()}")
    if not width or not height:
        raise PictureError(f"{name}: {width} × {height} has no pixels")
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if ours:
                # JPEG decodes at 1/2, 1/4, 1/8 for nothing. Only our own image: draft changes it.
                image.draft(None, (MAX_SIDE // 2, MAX_SIDE // 2))
            image.load()
            return _grey(ImageOps.exif_transpose(image), name)
    except PictureError:
        raise
    except Exception as error:  # as above, now for malformed pixels
        raise PictureError(f"{name}: damaged or cut short ({error or 'unreadable'})") from None


def _too_many_pixels() -> str:
    return f"more than {MAX_PIXELS // 10**6} million pixels; make the picture smaller"


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (2, 3, 4)):
        raise PictureError(
            f"an array must be (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, got {shape}"
        )
    height, width = shape[:2]
    if not height or not width:
        raise PictureError(f"an array of shape {shape} has no pixels")
    if height * width > MAX_PIXELS:
        raise PictureError(f"an array of shape {shape} has {_too_many_pixels()}")
    kind = array.dtype.kind
    if kind in "iu" and int(array.min()) >= 0 and int(array.max()) == 1:
        array, kind = array.astype(bool), "b"
    if kind == "f":
        low, high = float(array.min()), float(array.max())  # NaN stays NaN, and fails the test
        if not (low >= -0.01 and high <= 1.01):
            raise PictureError(
                f"a float picture holds 0 (black) to 1 (white), got {low:g} to {high:g}; "
                f"scale it, or give uint8"
            )
        levels = np.rint(np.clip(array, 0, 1) * np.float32(255))
    elif kind == "b":
        levels = array * np.uint8(255)
    elif array.dtype == np.uint16:
        levels = _by_bit_depth(array)
    elif kind in "iu":
        if int(array.min()) < 0 or int(array.max()) > 255:
            raise PictureError(
                f"an integer picture holds 0 to 255, got {array.min()} to {array.max()}"
            )
        levels = array
    else:
        raise PictureError(f"an array must be of uint8, bool or floats, got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(levels, np.uint8))


def _by_bit_depth(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale to 8 bits by the smallest usual depth that holds the largest value.

    Scanners and microscopes store 10, 12 and 14 bits in 16 without saying so.
    """
    high = max(int(levels.max()), 0)
    top = next((2**bits - 1 for bits in (8, 10, 12, 14, 16) if high < 2**bits), high)
    scaled = np.clip(levels, 0, top).astype(np.float32) * np.float32(255 / top)
    return np.array(np.rint(scaled), np.uint8)


def _grey(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """One grey level per pixel, whatever the mode."""
    if image.mode.startswith("I"):
        image = Image.fromarray(_by_bit_depth(np.asarray(image)))
    elif image.mode == "F":
        image = Image.fromarray(_by_range(np.asarray(image), name))
    elif image.mode == "LAB":
        image = image.getchannel(0)
    elif image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    factor = -(-max(image.size) // MAX_SIDE)
    image = _one_channel(image)
    if factor > 1:
        image = image.reduce(factor)
    return np.array(image, np.uint8)


def _one_channel(image: Image.Image) -> Image.Image:
    """As bright as the eye sees it; but where that shows nothing, the channel that shows most.

    Red on green of the same brightness is as clear to people as black on white.
    """
    grey = image.convert("L")
    if image.mode in ("1", "L", "LA") or _contrast(grey) >= _LEAST_CONTRAST:
        return grey
    channels = image.convert("RGB").split()
    clearest = max(channels, key=_contrast)
    return clearest if _contrast(clearest) >= 2 * _LEAST_CONTRAST else grey


def _contrast(grey: Image.Image) -> int:
    """Levels between the darkest and the lightest of a small copy, single pixels averaged away."""
    return int(np.ptp(np.asarray(grey.reduce(-(-max(grey.size) // _CONTRAST_SIDE)))))


def _by_range(levels: NDArray[np.floating[Any]], name: str) -> NDArray[np.uint8]:
    """Floating-point files say nothing of their range: 0…1 and 0…255 are kept, others fitted."""
    if not np.isfinite(levels).all():
        raise PictureError(f"{name}: holds values that are not finite")
    low, high = float(levels.min()), float(levels.max())
    if low >= 0 and high <= 255:
        return np.array(np.rint(levels * (255 if high <= 1 else 1)), np.uint8)
    fitted = (levels.astype(np.float64) - low) * (255 / (high - low) if high > low else 0)
    return np.rint(fitted).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white, or on black when it is white ink on nothing."""
    for paper in ("white", "black"):
        laid = Image.new("RGBA", image.size, paper)
        laid.alpha_composite(image)
        grey = laid.convert("L")
        low, high = grey.getextrema()
        if low != high:
            break
    return grey
