"""What this machine can do at most, to measure everything else by."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Work = Callable[[int], None]
"""Do so many steps."""


@dataclass(frozen=True)
class Limits:
    """What this machine can do with the threads that torch has.

    Parameters
    ----------
    product_gflops : float
        float32 matrix product, 10⁹ multiplications and additions a second.
    copy_gb_per_second : float
        Copying what no cache holds, 10⁹ bytes read and written a second.
    """

    product_gflops: float
    copy_gb_per_second: float


class Probes:
    """The two pieces of work that reach the limits.

    Parameters
    ----------
    size : int
        Rows of the square matrices that are multiplied. Sixteen of them are copied: far more than
        the caches hold when the product fills a machine.
    """

    def __init__(self, size: int) -> None:
        self._flops = 2 * size**3
        self._bytes = 2 * 4 * 16 * size**2
        a, b = torch.rand(2, size, size)
        product = torch.empty_like(a)
        source = torch.rand(16 * size**2)
        target = torch.empty_like(source)

        def multiply(steps: int) -> None:
            for _ in range(steps):
                torch.mm(a, b, out=product)

        def copy(steps: int) -> None:
            for _ in range(steps):
                target.copy_(source)

        self.works: dict[str, Work] = {"product": multiply, "copy": copy}
        for work in self.works.values():
            work(1)

    def limits(self, seconds: dict[str, list[float]]) -> Limits:
        """The limits by the fastest of the steps, whose seconds are given for each work."""
        return Limits(
            product_gflops=self._flops / min(seconds["product"]) / 1e9,
            copy_gb_per_second=self._bytes / min(seconds["copy"]) / 1e9,
        )


def measure_limits(size: int = 2048, turns: int = 5) -> Limits:
    """The best of some turns, within seconds.

    Parameters
    ----------
    size : int
        See `Probes`.
    turns : int
    """
    probes = Probes(size)
    seconds: dict[str, list[float]] = {name: [] for name in probes.works}
    for name, work in probes.works.items():
        for _ in range(turns):
            start = time.perf_counter()
            work(1)
            seconds[name].append(time.perf_counter() - start)
    return probes.limits(seconds)
