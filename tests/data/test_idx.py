"""IDX is read within bounds: what is not IDX is one clear error, and costs little memory."""

import gzip
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lenet.data import idx
from lenet.data.idx import read_idx
from lenet.errors import DataError

UINT8 = arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6))


def idx_bytes(array):
    return header(*array.shape) + array.tobytes()


def header(*shape, kind=8):
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


@settings(deadline=None)
@given(UINT8, st.booleans())
def test_reads_back_what_was_written(array, zipped):
    content = idx_bytes(array)
    read = read_idx(gzip.compress(content) if zipped else content)
    assert read.dtype == np.uint8
    assert read.shape == array.shape
    assert np.array_equal(read, array)
    assert read.flags.writeable  # torch.from_numpy warns otherwise


@settings(deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x03", b"\x1f\x8b"])
)
def test_random_bytes_are_an_array_or_one_clear_error(tail, start):
    try:
        array = read_idx(start + tail)
    except DataError:
        return
    assert idx_bytes(array) == start + tail


@settings(deadline=None)
@given(UINT8, st.booleans(), st.data())
def test_a_changed_byte_never_raises_anything_else(array, zipped, data):
    content = bytearray(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        read = read_idx(bytes(content))
    except DataError:
        return
    if zipped:
        # A checksum guards the content: what passes unnoticed means the same, such as a field of
        # the header that says nothing of the content, or another way to pack equal bytes.
        assert np.array_equal(read, array)
    else:  # a pixel, a shape of the same size, or a dimension of 0
        assert place >= 4 + 4 * array.ndim or array.size == 0 or place >= 4


@settings(deadline=None)
@given(UINT8, st.booleans(), st.data())
def test_every_truncation_is_refused(array, zipped, data):
    content = gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array)
    with pytest.raises(DataError):
        read_idx(content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("extra", [b"\0", b"\0" * 100])
def test_more_than_the_header_says_is_refused(zipped, extra):
    content = header(2, 3) + bytes(6) + extra
    with pytest.raises(DataError, match=r"says 18 bytes \(shape \(2, 3\)\) but holds more"):
        read_idx(gzip.compress(content) if zipped else content)


def test_less_than_the_header_says_is_refused():
    with pytest.raises(DataError, match=r"says 18 bytes .* but holds 17"):
        read_idx(gzip.compress(header(2, 3) + bytes(5)))


def test_a_second_gzip_member_is_refused():
    member = gzip.compress(header(2) + b"ab")
    with pytest.raises(DataError, match="a second gzip member"):
        read_idx(member + member)


def test_bytes_after_the_gzip_stream_are_refused():
    with pytest.raises(DataError, match="3 trailing bytes"):
        read_idx(gzip.compress(header(2) + b"ab") + b"\0\0\0")


def test_a_wrong_checksum_is_refused():
    content = bytearray(gzip.compress(header(2) + b"ab"))
    content[-8] ^= 1
    with pytest.raises(DataError, match="damaged gzip"):
        read_idx(bytes(content))


@pytest.mark.parametrize(
    "shape", [(2**32 - 1,), (2**16, 2**16), (2**32 - 1,) * 4, (0, 2**32 - 1, 2**32 - 1)]
)
def test_dimensions_that_overflow_are_refused(shape):
    with pytest.raises(DataError, match="at most"):
        read_idx(header(*shape))


@pytest.mark.parametrize("kind", [0, 9, 11, 13, 14, 255])
def test_other_number_types_are_named(kind):
    with pytest.raises(DataError, match=f"{kind:#04x}"):
        read_idx(header(1, kind=kind) + b"a")


@pytest.mark.parametrize("n_dimensions", [0, 5, 255])
def test_other_numbers_of_dimensions_are_named(n_dimensions):
    with pytest.raises(DataError, match=f"{n_dimensions} dimensions"):
        read_idx(bytes([0, 0, 8, n_dimensions]) + bytes(2000))


def test_a_bomb_costs_no_more_memory_than_its_header_says():
    size = 64 * 2**20
    compress = zlib.compressobj(9, wbits=31)
    bomb = compress.compress(header(1000) + bytes(size)) + compress.flush()
    tracemalloc.start()
    with pytest.raises(DataError, match="holds more"):
        read_idx(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_lying_header_reserves_no_memory():
    tracemalloc.start()
    with pytest.raises(DataError, match="holds 9"):
        read_idx(gzip.compress(header(2**28) + b"a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_files_are_read_and_named(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(header(3) + b"\1\2\3")
    assert read_idx(path).tolist() == [1, 2, 3]
    path.write_bytes(b"PK\3\4 a zip file")
    with pytest.raises(DataError, match=r"labels is not IDX: it starts with 50 4b 03 04"):
        read_idx(path)
    with pytest.raises(DataError, match="nothing-here is not a file"):
        read_idx(tmp_path / "nothing-here")
    with pytest.raises(DataError, match="is not a file"):
        read_idx(tmp_path)


def test_a_file_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 10)
    path = tmp_path / "large"
    path.write_bytes(bytes(11))
    with pytest.raises(DataError, match="11 bytes; at most 10"):
        read_idx(path)


def test_qmnist_s_32_bit_labels_are_read():
    labels = np.array([[5, 0, 2**31 - 1], [-1, 7, 256]], ">i4")
    read = read_idx(gzip.compress(header(2, 3, kind=12) + labels.tobytes()))
    assert read.dtype == np.int32
    assert np.array_equal(read, labels)
    with pytest.raises(DataError, match=r"says 36 bytes .* but holds 35"):
        read_idx(header(2, 3, kind=12) + labels.tobytes()[:-1])
