"""How many threads: what the user says, else what affinity and the container's quota allow."""

import os
import threading

import pytest
import torch

from lenet import threads
from lenet.errors import InputError


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Eight CPUs, no wish of the user's, and an empty cgroup folder; give it files."""
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.delenv(threads.SHARED_VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("cpu_max", "cpu.max")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "ascii")

    return write


def v1(machine, quota, period):
    machine(**{"cpu__cpu.cfs_quota_us": quota, "cpu__cpu.cfs_period_us": period})


def test_affinity_decides_without_a_quota(machine):
    assert threads.thread_count() == 8
    machine(cpu_max="max 100000\n")
    assert threads.thread_count() == 8


@pytest.mark.parametrize(
    ("quota", "count"), [("300000 100000", 3), ("350000 100000", 3), ("50000 100000", 1)]
)
def test_a_quota_of_version_2_pays_for_whole_cpus(machine, quota, count):
    machine(cpu_max=f"{quota}\n")
    assert threads.thread_count() == count


@pytest.mark.parametrize(("quota", "count"), [("200000", 2), ("-1", 8), ("9000000", 8)])
def test_a_quota_of_version_1_likewise(machine, quota, count):
    v1(machine, quota, "100000")
    assert threads.thread_count() == count


def test_an_odd_cgroup_file_is_no_limit(machine):
    machine(cpu_max="nonsense\n")
    assert threads.thread_count() == 8


def test_the_user_has_the_last_word(machine, monkeypatch):
    machine(cpu_max="300000 100000\n")
    monkeypatch.setenv(threads.VARIABLE, " 12 ")
    assert threads.thread_count() == 12


@pytest.mark.parametrize(("wish", "count"), [("3", 3), (" 16,2 ", 16), ("0", 8), ("many", 8)])
def test_what_openmp_obeys_is_obeyed(machine, monkeypatch, wish, count):
    monkeypatch.setenv(threads.SHARED_VARIABLE, wish)
    assert threads.thread_count() == count
    monkeypatch.setenv(threads.VARIABLE, "2")
    assert threads.thread_count() == 2


@pytest.mark.parametrize("wish", ["0", "-2", "two", "1.5", "²"])
def test_a_wish_that_is_no_count_is_refused(machine, monkeypatch, wish):
    monkeypatch.setenv(threads.VARIABLE, wish)
    with pytest.raises(InputError, match="LENET_THREADS must be a positive integer"):
        threads.thread_count()


def test_torch_and_halide_get_the_same(machine, monkeypatch):
    monkeypatch.setenv("HL_NUM_THREADS", "7")
    before = torch.get_num_threads()
    monkeypatch.setenv(threads.VARIABLE, "3")
    try:
        assert threads.set_threads() == 3
        assert (torch.get_num_threads(), os.environ["HL_NUM_THREADS"]) == (3, "3")
    finally:
        torch.set_num_threads(before)


def test_a_block_has_one_torch_thread_and_gives_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads.one_torch_thread():
            assert torch.get_num_threads() == 1
            with threads.one_torch_thread():
                assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_blocks_that_overlap_in_threads_give_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside, leave, seen = threading.Barrier(2), threading.Event(), []

    def longer():
        with threads.one_torch_thread():
            inside.wait(10)
            leave.wait(10)
        seen.append(torch.get_num_threads())

    worker = threading.Thread(target=longer)
    try:
        with threads.one_torch_thread():
            worker.start()
            inside.wait(10)
        leave.set()
        worker.join()
        assert seen == [3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
