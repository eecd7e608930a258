"""Published files come from this machine or a mirror, and are the published ones or refused."""

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

from lenet.data.catalogue import DATASETS, Dataset, OfficialFile
from lenet.data.datasets import load_dataset
from lenet.data.downloads import explain_absence, fetch_dataset, verify_dataset
from lenet.errors import DataError, DownloadError

RNG = np.random.default_rng(0)


def idx(array):
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

    def set_mirrors(*mirrors):
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
    assert len(asked) == 1  # the mirror that gave a file is the first to be asked for the next
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (missing, "404"),
        (wrong, "SHA-256"),
        (short, f"sends {LARGEST - 5} of {LARGEST} bytes"),
        (too_large, f"more than the published {LARGEST} bytes"),
    ],
)
def test_when_all_fail_every_mirror_and_a_way_out_are_named(tiny, tmp_path, answer, reason):
    with serving(answer) as (first, _), serving(hung_up) as (second, _):
        tiny(first, second)
        with pytest.raises(DownloadError) as failure:
            load_dataset("tiny")
    message = str(failure.value)
    assert "\n" not in message
    assert f"({first[7:-1]}: " in message  # the host
    assert f"; {second[7:-1]}: cannot be reached)" in message
    assert reason in message
    assert all(name in message for name in CONTENTS)
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


def test_what_is_not_here_is_said_without_a_download(tiny):
    with serving(good) as (mirror, requests):
        tiny(mirror)
        assert explain_absence("tiny") == "tiny is missing, `lenet data get tiny` fetches it"
        assert not requests
        fetch_dataset("tiny")
        assert explain_absence("tiny") == ""


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
    with pytest.raises(DataError, match=r"'fashon-mnist'.*did you mean 'fashion-mnist'\?"):
        use("fashon-mnist")
