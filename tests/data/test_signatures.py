"""What a file is, by its first bytes, and what is said when it is given as a picture or weights."""

import io
import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from lenet.checkpoints import load_checkpoint
from lenet.data.pictures import read_picture
from lenet.data.signatures import name_kind
from lenet.errors import CheckpointError, PictureError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def keras() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.weights.h5", b"")
    return buffer.getvalue()


KINDS = {
    "a HEIC picture": HEIC,
    "an AVIF picture": b"\0\0\0\x1cftypavif" + bytes(40),
    "a PDF document": b"%PDF-1.7\n",
    "an SVG drawing": b"  <svg xmlns='http://www.w3.org/2000/svg'/>",
    "a web page": b"<!DOCTYPE html><p>404",
    "an HDF5 file, as Keras writes them": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "a Keras file": keras(),
    "an ONNX graph": b"\x08\x08\x12\x07pytorch\x1a\x032.1:" + bytes(9),
    "a TensorFlow Lite file": b"\x1c\0\0\0TFL3" + bytes(9),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_named_by_its_bytes_as_picture_and_as_weights(kind, tmp_path):
    path = tmp_path / "file.png"
    path.write_bytes(KINDS[kind])
    assert name_kind(KINDS[kind]) == kind
    with pytest.raises(PictureError, match=kind):
        read_picture(path)
    with pytest.raises(CheckpointError, match=f"is {kind}, not weights of lenet"):
        load_checkpoint(path)


@pytest.mark.parametrize("data", [b"", b"\x08", b"\x08\x08", b"PK\x03\x04", bytes(99), b"text"])
def test_what_is_not_known_has_no_name(data):
    assert name_kind(data) is None


def test_heic_has_a_way_out_and_is_read_where_something_reads_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PictureError, match=r"export it as JPEG, or pip install pillow-heif"):
        read_picture(HEIC)

    def open_heif(file, name=""):
        return Image.new("RGB", (5, 4), (255, 255, 255))

    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = lambda: Image.register_open(
        "HEIF", open_heif, lambda start: start[4:8] == b"ftyp"
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: module)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    np.testing.assert_array_equal(read_picture(HEIC), np.full((4, 5), 255, np.uint8))
