import errno
import gzip
import hashlib
import os
import stat
import struct
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from lenet.data import datasets
from lenet.data.datasets import (
    DATASETS,
    Dataset,
    OfficialFile,
    fetch_dataset,
    load_dataset,
    verify_dataset,
)
from lenet.errors import DataError, DownloadError

RNG = np.random.default_rng(0)


def as_set(split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


def stratified_exactly(part: np.ndarray, whole: np.ndarray) -> bool:
    """Every class has its proportional share, rounded up or down."""
    share = np.bincount(whole) * len(part) / len(whole)
    return bool((np.abs(np.bincount(part, minlength=len(share)) - share) < 1).all())


# Built-in digits


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_digits_are_all_there_and_never_in_two_parts(digits):
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1294, 144, 359]
    assert sum(len(as_set(part)) for part in parts) == len(set.union(*map(as_set, parts)))
    labels = np.concatenate([part.labels for part in parts])
    for part in parts:
        assert stratified_exactly(part.labels, labels)
    assert digits.class_names == tuple("0123456789")
    assert digits.preparation == "digit"


def extent(inked: np.ndarray) -> tuple[int, int]:
    """First and last index with ink."""
    present = np.flatnonzero(inked)
    return present[0], present[-1]


def test_digits_are_scikit_learns_enlarged_as_pillow_enlarges(digits):
    # Pillow's bicubic filter is the same cubic convolution, computed independently.
    from sklearn.datasets import load_digits

    parts = (digits.train, digits.validation, digits.test)
    ours = {image.tobytes(): image for part in parts for image in part.images}
    whole = datasets._load_digits()
    small, labels = load_digits(return_X_y=True)
    assert np.array_equal(whole.labels, labels)
    assert set(ours) == as_set(whole)
    pad = 10
    for i in range(0, len(small), 60):
        picture = Image.fromarray(np.pad(small[i].reshape(8, 8), pad).astype(np.float32))
        fine = np.asarray(picture.resize((8 * picture.width,) * 2, Image.Resampling.BICUBIC)) >= 8
        (top, bottom), (left, right) = extent(fine.any(1)), extent(fine.any(0))
        step = max(bottom + 1 - top, right + 1 - left) / 8 / 20
        weights = small[i].reshape(8, 8) / small[i].sum()
        row = weights.sum(1) @ np.arange(8) + pad + 0.5
        column = weights.sum(0) @ np.arange(8) + pad + 0.5
        box = (column - 14 * step, row - 14 * step, column + 14 * step, row + 14 * step)
        expected = picture.resize((28, 28), Image.Resampling.BICUBIC, box=box)
        expected = np.clip(np.asarray(expected) * 255 / 16, 0, 255)
        assert np.abs(whole.images[i] - expected).max() < 1


def test_digits_follow_mnists_recipe(digits):
    images = digits.train.images.astype(float)
    mass = images.sum((1, 2))
    positions = np.arange(28)
    rows = images.sum(2) @ positions / mass
    columns = images.sum(1) @ positions / mass
    assert np.abs(rows - 13.5).max() < 0.5
    assert np.abs(columns - 13.5).max() < 0.5
    for image in digits.train.images >= 128:
        (top, bottom), (left, right) = extent(image.any(1)), extent(image.any(0))
        assert 19 <= max(bottom - top, right - left) + 1 <= 21
    assert digits.train.images.max() == 255
    assert digits.train.images.max((1, 2)).min() > 200


def test_digits_agree_with_mnists_recipe_on_a_square():
    small = np.zeros((1, 8, 8))
    small[0, 2:7, 1:6] = 16  # off centre
    large = datasets._enlarge(small)[0]
    assert np.array_equal(large, large[::-1])
    assert np.array_equal(large, large[:, ::-1])
    assert np.array_equal(np.flatnonzero((large >= 128).any(0)), np.arange(4, 24))


@pytest.mark.parametrize("name", ["digits", "folder"])
def test_the_seed_moves_validation_and_never_test(name, folder):
    source = folder if name == "folder" else name
    first, again, other = (load_dataset(source, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert np.array_equal(first.test.images, other.test.images)
    assert np.array_equal(first.test.labels, other.test.labels)
    assert first.sha256 == other.sha256


def test_loading_ignores_and_keeps_the_global_generator(digits):
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = load_dataset("digits")
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert np.array_equal(again.validation.images, digits.validation.images)


@pytest.mark.parametrize(("fraction", "size"), [(0.0, 0), (0.25, 360), (0.5, 719), (0.9999, 1428)])
def test_the_validation_fraction_is_obeyed(fraction, size, digits):
    splits = load_dataset("digits", validation=fraction)
    assert len(splits.validation) == size  # the last: each of the ten classes keeps one image
    assert len(splits.train) + size == 1438
    assert np.array_equal(splits.test.images, digits.test.images)
    assert set(splits.train.labels) == set(range(10))


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan"), float("inf")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(DataError, match="fraction from 0 to below 1"):
        load_dataset("digits", validation=fraction)


# The published files


def test_mnist_is_the_published_one(mnist):
    assert [len(mnist.part(p)) for p in ("train", "validation", "test")] == [55000, 5000, 10000]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = np.bincount(mnist.train.labels) + np.bincount(mnist.validation.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    whole = np.repeat(np.arange(10), counts)
    assert stratified_exactly(mnist.validation.labels, whole)
    assert mnist.preparation == "digit"


def test_fashion_mnist_is_the_published_one(fashion):
    assert np.bincount(fashion.validation.labels).tolist() == [500] * 10
    assert np.bincount(fashion.train.labels).tolist() == [5500] * 10
    assert fashion.class_names[9] == "Ankle boot"
    assert fashion.class_names[fashion.test.labels[0]] == "Ankle boot"
    assert fashion.preparation == "garment"


def test_researchers_may_train_on_all_of_mnist(mnist):
    splits = load_dataset("mnist", validation=0.0)
    assert len(splits.train) == 60000
    assert len(splits.validation) == 0
    assert splits.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert splits.sha256 == mnist.sha256


def test_every_published_data_set_has_two_mirrors_and_four_sums():
    for name in ("mnist", "fashion-mnist"):
        dataset = DATASETS[name]
        assert len({mirror.split("/")[2] for mirror in dataset.mirrors}) >= 2
        assert all(mirror.endswith("/") for mirror in dataset.mirrors)
        assert len({file.sha256 for file in dataset.files}) == 4
        assert len(dataset.class_names) == 10


# Downloads, from a server on this machine


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


CONTENTS = {
    "train-images.gz": idx(RNG.integers(0, 256, (40, 28, 28))),
    "train-labels.gz": idx(np.arange(40) % 2),
    "test-images.gz": idx(RNG.integers(0, 256, (10, 28, 28))),
    "test-labels.gz": idx(np.arange(10) % 2),
}
LARGEST = len(CONTENTS["train-images.gz"])


@contextmanager
def serving(answer):
    """A mirror: `answer(handler, content)` writes what it sends; yields its address, requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            answer(self, CONTENTS[self.path[1:]])

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", requests
        finally:
            server.shutdown()
            thread.join()


def send(handler, content, *, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    with suppress(OSError):  # the client hangs up, as it should when it is sent too much
        handler.wfile.write(content)


def good(handler, content):
    send(handler, content)


def missing(handler, content):
    handler.send_error(404, "Not here")


def wrong(handler, content):
    send(handler, content[:-1] + bytes([content[-1] ^ 1]))


def truncated(handler, content):
    send(handler, content[:-5], length=len(content))


def short(handler, content):
    send(handler, content[:-5])


def too_large(handler, content):
    send(handler, content + bytes(2**22))


def hung_up(handler, content):
    handler.close_connection = True


BAD = [missing, wrong, truncated, short, too_large, hung_up]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A published data set of 50 images; returns a function that sets its mirrors."""
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    files = tuple(
        OfficialFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    )

    def set_mirrors(*mirrors: str) -> None:
        dataset = Dataset("tiny", "Noise", ("even", "odd"), "plain", 4, files, mirrors)
        monkeypatch.setitem(DATASETS, "tiny", dataset)

    set_mirrors()
    return set_mirrors


def test_a_download_is_kept_and_works_offline(tiny, tmp_path):
    seen = []
    with serving(good) as (mirror, requests):
        tiny(mirror)
        paths = fetch_dataset("tiny", lambda *progress: seen.append(progress))
        assert len(requests) == 4
        splits = load_dataset("tiny")
        assert len(requests) == 4
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert {path.parent for path in paths} == {tmp_path / "cache" / "tiny"}
    # No half-written files beside them.
    assert {path.name for path in paths[0].parent.iterdir()} == set(CONTENTS)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 10)
    for name, content in CONTENTS.items():
        received = [r for n, r, total in seen if n == name and total == len(content)]
        assert received == sorted(received)
        assert received[-1] == len(content)
    tiny("http://127.0.0.1:9/")  # nobody answers there
    assert load_dataset("tiny").sha256 == splits.sha256
    assert {check.state for check in verify_dataset("tiny")} == {"verified"}


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX's")
def test_a_downloaded_file_can_be_read_by_whom_the_umask_allows(tiny):
    with serving(good) as (mirror, _):
        tiny(mirror)
        umask = os.umask(0o022)
        try:
            path, *_ = fetch_dataset("tiny")
        finally:
            os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("first", BAD)
def test_the_second_mirror_is_asked_when_the_first_fails(tiny, first):
    with serving(first) as (bad_mirror, asked), serving(good) as (good_mirror, _):
        tiny(bad_mirror, good_mirror)
        paths = fetch_dataset("tiny")
    assert len(asked) == 4
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (missing, "404"),
        (wrong, "SHA-256"),
        (short, f"sent {LARGEST - 5} of {LARGEST} bytes"),
        (too_large, f"more than the published {LARGEST} bytes"),
    ],
)
def test_when_all_fail_every_mirror_and_a_way_out_are_named(tiny, tmp_path, answer, reason):
    with serving(answer) as (first, _), serving(hung_up) as (second, _):
        tiny(first, second)
        with pytest.raises(DownloadError) as failure:
            load_dataset("tiny")
    message = str(failure.value)
    assert first in message
    assert second in message
    assert reason in message
    assert "LENET_DATA" in message
    assert str(tmp_path / "cache" / "tiny") in message
    assert not list((tmp_path / "cache").rglob("*"))  # nothing half-written


def test_a_damaged_file_in_the_cache_is_downloaded_again(tiny):
    with serving(good) as (mirror, requests):
        tiny(mirror)
        path, *_ = fetch_dataset("tiny")
        for damage in (b"", CONTENTS[path.name][:-1], bytes(LARGEST), bytes(LARGEST + 1)):
            path.write_bytes(damage)
            assert verify_dataset("tiny")[0].state == "damaged"
            load_dataset("tiny")
            assert path.read_bytes() == CONTENTS[path.name]
        assert len(requests) == 4 + 4


def test_files_in_lenet_data_come_first_and_are_never_replaced(tiny, monkeypatch, tmp_path):
    folder = tmp_path / "mine" / "tiny"
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "mine"))
    assert len(load_dataset("tiny").test) == 10
    assert {check.path.parent for check in verify_dataset("tiny")} == {folder}
    assert not (tmp_path / "cache").exists()

    (folder / "test-labels.gz").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"test-labels.gz has 4 bytes, not the published"):
        load_dataset("tiny")
    assert (folder / "test-labels.gz").read_bytes() == b"mine"
    assert [check.state for check in verify_dataset("tiny")] == ["verified"] * 3 + ["damaged"]


def test_verify_downloads_nothing(tiny, tmp_path):
    with serving(good) as (mirror, requests):
        tiny(mirror)
        checks = verify_dataset("tiny")
        assert not requests
    assert [check.state for check in checks] == ["missing"] * 4
    assert checks[0].path == tmp_path / "cache" / "tiny" / "train-images.gz"


def test_a_cache_that_cannot_be_written_is_named(tiny, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "file"))
    with serving(good) as (mirror, _):
        tiny(mirror)
        with pytest.raises(DownloadError, match="LENET_CACHE"):
            fetch_dataset("tiny")


def test_a_full_disk_leaves_nothing(tiny, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with serving(good) as (mirror, _):
        tiny(mirror)
        with pytest.raises(DownloadError, match="No space left on device"):
            fetch_dataset("tiny")
    assert not list((tmp_path / "cache" / "tiny").iterdir())


def test_an_interrupted_download_leaves_nothing(tiny, tmp_path):
    def interrupt(name, received, total):
        raise KeyboardInterrupt

    with serving(good) as (mirror, _):
        tiny(mirror)
        with pytest.raises(KeyboardInterrupt):
            fetch_dataset("tiny", interrupt)
    assert not list(tmp_path.rglob("*.gz*"))


def test_built_in_data_has_no_files():
    assert fetch_dataset("digits") == ()
    assert verify_dataset("digits") == ()


@pytest.mark.parametrize("use", [load_dataset, fetch_dataset, verify_dataset])
def test_a_near_miss_gets_a_suggestion(use):
    with pytest.raises(DataError, match=r"'fashon-mnist'.*did you mean fashion-mnist\?"):
        use("fashon-mnist")


# Folders of pictures


def draw(path, level: int, size=(40, 30)) -> None:
    """A picture of random marks: dark on light, never the same twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full(size, 255, np.uint8)
    picture[5:25, 5:25] = RNG.integers(0, level, (20, 20))
    Image.fromarray(picture).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 pictures of nuts, 20 of bolts, 10 of 10 mm washers."""
    root = tmp_path_factory.mktemp("pictures") / "parts"
    for name, count in (("nut", 30), ("bolt", 20), ("10 mm Unterlegscheibe ß", 10)):
        for i in range(count):
            draw(root / name / f"{i}.png", 100, size=(30 + i, 60 - i))
    (root / "notes.txt").write_text("files beside the class folders do no harm")
    (root / "nut" / ".DS_Store").write_bytes(b"\0")
    (root / "nut" / "Thumbs.db").write_bytes(b"\0")
    (root / ".git").mkdir()
    return root


def test_a_folder_of_classes_is_a_data_set(folder):
    splits = load_dataset(folder)
    assert splits.name == "parts"
    assert splits.class_names == ("10 mm Unterlegscheibe ß", "bolt", "nut")
    assert splits.preparation == "plain"
    assert np.bincount(splits.test.labels).tolist() == [2, 4, 6]
    assert np.bincount(splits.validation.labels).tolist() == [1, 2, 2]
    assert np.bincount(splits.train.labels).tolist() == [7, 14, 22]
    parts = [as_set(splits.part(name)) for name in ("train", "validation", "test")]
    assert len(set.union(*parts)) == 60 == sum(map(len, parts))


def test_a_folder_loads_the_same_by_text_and_from_anywhere(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert load_dataset("parts").sha256 == load_dataset(folder).sha256
    monkeypatch.chdir(folder)
    assert load_dataset(".").name == "parts"


def test_colour_grey_and_formats_are_read(tmp_path):
    for i, mode in enumerate(["L", "RGB", "RGBA", "P", "1", "CMYK"]):
        for name in ("a", "b"):
            draw(tmp_path / name / f"{i}.png", 100)
            picture = Image.open(tmp_path / name / f"{i}.png").convert(mode)
            suffix = "tif" if mode == "CMYK" else "png"
            picture.save(tmp_path / name / f"{i}-{mode}.{suffix}")
    assert len(load_dataset(tmp_path).train) + 2 + 5 == 24


@pytest.mark.parametrize("validation", ["validation", "val", None])
def test_a_folder_may_bring_its_own_parts(tmp_path, validation):
    for part, count in (("train", 8), (validation, 3), ("test", 2)):
        for name in ("ham", "spam"):
            for i in range(count if part else 0):
                draw(tmp_path / part / name / f"{i}.png", 100)
    splits = load_dataset(tmp_path)
    assert splits.class_names == ("ham", "spam")
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    if validation:
        assert len(splits.train) == 16
        assert splits.validation.labels.tolist() == [0, 0, 0, 1, 1, 1]
        with pytest.raises(DataError, match="its own validation part"):
            load_dataset(tmp_path, validation=0.5)
    else:
        assert len(splits.train) + len(splits.validation) == 16
        assert len(splits.validation) == 2


def test_toy_trains_are_a_class(tmp_path):
    for name in ("train", "plane"):
        for i in range(5):
            draw(tmp_path / name / f"{i}.png", 100)
    assert load_dataset(tmp_path).class_names == ("plane", "train")


def break_one_class(root):
    for path in (root / "b").iterdir():
        path.unlink()
    (root / "b").rmdir()


def break_empty_class(root):
    (root / "c").mkdir()


def break_text_in_class(root):
    (root / "a" / "labels.csv").write_text("a,b")


def break_truncated_picture(root):
    content = (root / "a" / "0.png").read_bytes()
    (root / "a" / "0.png").write_bytes(content[: len(content) // 2])


def break_nested_folder(root):
    (root / "a" / "more").mkdir()


def break_name(root):
    (root / "a").rename(root / "a\x1b[31m\n")


def break_no_classes(root):
    break_one_class(root)
    (root / "a").rename(root.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_one_class, "1 class folders; 2 to 1000"),
        (break_no_classes, "0 class folders; 2 to 1000"),
        (break_empty_class, r"class folder .*c is empty"),
        (break_text_in_class, r"labels\.csv"),
        (break_truncated_picture, r"0\.png"),
        (break_nested_folder, r"more is not a picture file"),
        (break_name, r"rename the class folder 'a\\x1b\[31m\\n'"),
    ],
)
def test_broken_folders_say_what_is_wrong(tmp_path, damage, message):
    root = tmp_path / "broken"
    for name in ("a", "b"):
        for i in range(4):
            draw(root / name / f"{i}.png", 100)
    damage(root)
    with pytest.raises(DataError, match=message) as failure:
        load_dataset(root)
    assert "\n" not in str(failure.value)


def test_a_class_only_in_the_test_part_is_refused(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/c"):
        draw(tmp_path / name / "1.png", 100)
    with pytest.raises(DataError, match="c is no class of the train folder"):
        load_dataset(tmp_path)


def test_absurd_counts_are_refused_before_a_picture_is_read(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for i in range(5):
            (tmp_path / name / f"{i}.png").write_bytes(b"not a picture")
    monkeypatch.setattr(datasets, "MAX_CLASSES", 2)
    with pytest.raises(DataError, match="3 class folders; 2 to 2"):
        load_dataset(tmp_path)
    monkeypatch.undo()
    for limit in (4, 14):
        monkeypatch.setattr(datasets, "MAX_PICTURES", limit)
        with pytest.raises(DataError, match=f"more than {limit} files; none was read"):
            load_dataset(tmp_path)


def test_too_few_pictures_to_hold_any_out_are_refused(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / name / "only.png", 100)
    with pytest.raises(DataError, match="too small to hold out"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("name", ["", "no/such/folder", "x" * 5000, "nul\0byte", "MNIST "])
def test_no_folder_is_one_clear_error(name):
    with pytest.raises(DataError):
        load_dataset(name)
