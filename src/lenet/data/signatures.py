"""What a file is, told by its first bytes or its name: what people take for pictures or weights."""

import io
import zipfile

HEIC = "a HEIC picture"
HEIF_READER = "pillow_heif"
"""The package with which HEIC is read too, where it is installed."""

PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
HEIF_SUFFIXES = (".heic", ".heif")

_STARTS = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"<svg": "an SVG drawing",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes them",
    b"\x1f\x8b": "a gzip file",
    b"GGUF": "a GGUF file",
}
_ONNX_FIELDS = b"\x12\x1a\x32\x3a"  # who wrote it, with which version, a text, its graph
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIC),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
}


def name_kind(data: bytes) -> str | None:
    """What the bytes of a file are, with its article; None where that is not known.

    Parameters
    ----------
    data : bytes
        The whole file, or its beginning.
    """
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    if data[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    if data.startswith(b"PK"):
        return _name_archive(data)
    # ONNX is a protocol buffer without a signature: its version comes first, then another field.
    if len(data) > 2 and data[0] == 8 and 3 <= data[1] <= 20 and data[2] in _ONNX_FIELDS:
        return "an ONNX graph"
    start = data[:64].lstrip()
    return next((kind for sign, kind in _STARTS.items() if start.startswith(sign)), None)


def _name_archive(data: bytes) -> str | None:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:  # bytes from a stranger: a damaged directory raises almost anything
        return None
    return "a Keras file" if "model.weights.h5" in names else None
