"""IDX, the format of MNIST's files, read within bounds: bytes in, array of whole numbers out."""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import DataError

MAX_BYTES = 2**30
"""The largest content read, twice that of EMNIST's 697,932 images: what a gzip bomb can cost."""
MAX_DIMENSIONS = 4

_GZIP = b"\x1f\x8b"
_KINDS: dict[int, np.dtype[Any]] = {0x08: np.dtype(np.uint8), 0x0C: np.dtype(">i4")}


def read_idx(data: bytes | Path) -> NDArray[Any]:
    """Read one IDX array of unsigned bytes or 32-bit integers, plain or gzipped.

    The size is computed from the header before the body is unpacked, and at most one byte more
    than that is unpacked, so memory is bounded whatever a compressed file would grow to.

    Parameters
    ----------
    data : bytes or Path
        The content, or the file that holds it.

    Returns
    -------
    array : uint8 or int32, 1 to 4 dimensions

    Raises
    ------
    DataError
        When the header is not IDX's, its dimensions pass `MAX_BYTES`, the content is shorter or
        longer than it says, or the gzip stream is damaged or followed by anything.

    References
    ----------
    The format's description stands on the MNIST page, http://yann.lecun.com/exdb/mnist/.
    """
    if isinstance(data, Path):
        return _read(_read_file(data), str(data))
    return _read(data, "IDX data")


def _read_file(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"{path} is not a file; give an IDX file, plain or .gz")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path} has {size} bytes; at most {MAX_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _read(content: bytes, source: str) -> NDArray[Any]:
    magic, _ = _first_bytes(content, 4, source)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{source} is not IDX: it starts with {magic.hex(' ') or 'nothing'}")
    kind, n_dimensions = magic[2], magic[3]
    if kind not in _KINDS:
        raise DataError(
            f"{source} holds IDX type {kind:#04x}; unsigned bytes (0x08) and 32-bit integers "
            f"(0x0c) are read"
        )
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        raise DataError(f"{source} has {n_dimensions} dimensions; 1 to {MAX_DIMENSIONS} are read")

    header_size = 4 + 4 * n_dimensions
    header, _ = _first_bytes(content, header_size, source)
    if len(header) < header_size:
        raise DataError(f"{source} ends inside its header, after {len(header)} bytes")
    shape = tuple(int(d) for d in np.frombuffer(header, ">u4", offset=4))
    # A dimension of 0 must not hide what the others would overflow.
    item = _KINDS[kind].itemsize
    if item * math.prod(max(d, 1) for d in shape) > MAX_BYTES:
        raise DataError(f"{source} says its shape is {shape}; at most {MAX_BYTES} bytes are read")

    size = header_size + item * math.prod(shape)
    array, rest = _first_bytes(content, size + 1, source)
    if len(array) < size:
        raise DataError(f"{source} says {size} bytes (shape {shape}) but holds {len(array)}")
    if len(array) > size:
        raise DataError(f"{source} says {size} bytes (shape {shape}) but holds more")
    if rest:
        what = "a second gzip member" if rest.startswith(_GZIP) else f"{len(rest)} trailing bytes"
        raise DataError(f"{source} has {what} after its gzip stream; one stream is read")
    numbers = np.frombuffer(array, _KINDS[kind], offset=header_size).reshape(shape)
    native: NDArray[Any] = numbers.astype(_KINDS[kind].newbyteorder("="))
    return native  # a copy, which can be written to


def _first_bytes(content: bytes, limit: int, source: str) -> tuple[bytes, bytes]:
    """At most `limit` unpacked bytes, and what follows the gzip stream when they end it."""
    if not content.startswith(_GZIP):
        return content[:limit], b""
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = stream.decompress(content, limit)
    except zlib.error as error:
        raise DataError(f"{source} is a damaged gzip file: {error}") from error
    if len(unpacked) < limit and not stream.eof:
        raise DataError(f"{source} is a truncated gzip file: it ends before its checksum")
    return unpacked, stream.unused_data
