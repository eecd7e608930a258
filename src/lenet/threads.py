"""How many threads lenet uses: `LENET_THREADS`, else `OMP_NUM_THREADS`, else the CPUs it may use.

torch, Halide's pool and the readers of pictures all get that many and never more. `LENET_THREADS`
is for lenet alone, `OMP_NUM_THREADS` what many numeric packages obey.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from lenet.errors import InputError

VARIABLE = "LENET_THREADS"
SHARED_VARIABLE = "OMP_NUM_THREADS"
_CGROUP = Path("/sys/fs/cgroup")
_counting = threading.Lock()
_inside = 0  # blocks of `one_torch_thread` that are open
_outside_count = 1


def thread_count() -> int:
    """`LENET_THREADS` if set, else `OMP_NUM_THREADS`, else the CPUs of affinity and cgroup.

    Of a list in `OMP_NUM_THREADS`, one count for each level of nesting, the first counts. What is
    no count there is passed over, as OpenMP does.

    Raises
    ------
    InputError
        When `LENET_THREADS` is not a positive integer.
    """
    wish = os.environ.get(VARIABLE, "").strip()
    if wish:
        if not _is_count(wish):
            raise InputError(f"{VARIABLE} must be a positive integer, got {wish!r}")
        return int(wish)
    shared = os.environ.get(SHARED_VARIABLE, "").partition(",")[0].strip()
    if _is_count(shared):
        return int(shared)
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _cgroup_limit() or allowed))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def set_threads() -> int:
    """Give torch and Halide the same number of threads; idempotent.

    Halide reads `HL_NUM_THREADS` when its first parallel loop runs and never again, so this must
    come before; a change of `LENET_THREADS` after that reaches torch only.

    Returns
    -------
    count : int
    """
    import torch

    count = thread_count()
    os.environ["HL_NUM_THREADS"] = str(count)
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run torch single-threaded inside this block.

    Blocks may nest, and may overlap in several Python threads: whichever ends last, torch then has
    as many threads as before the first. (When one ends, torch may use them in the others too.)

    Its OpenMP threads spin for a while at every barrier and after every parallel operation, on
    cores that others need. A fused training step takes up to 1.4 times as long beside them, and a
    single image on a busy machine 0.3 ms in one thread but 50 to 110 in two.
    """
    import torch

    global _inside, _outside_count
    with _counting:
        if _inside == 0:
            _outside_count = torch.get_num_threads()
        _inside += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _counting:
            _inside -= 1
        torch.set_num_threads(_outside_count)


def _cgroup_limit() -> int | None:
    """Whole CPUs that the container's quota pays for, at least one; None without a quota."""
    # An unreadable or oddly written file means no limit that we know of.
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    with contextlib.suppress(OSError, ValueError):
        quota = (_CGROUP / "cpu" / "cpu.cfs_quota_us").read_text("ascii")
        period = (_CGROUP / "cpu" / "cpu.cfs_period_us").read_text("ascii")
        return None if int(quota) <= 0 else max(1, int(quota) // int(period))
    return None
