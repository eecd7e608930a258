"""Which machine and which versions a result was made with."""

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("lenet", "torch", "numpy", "halide", "onnxruntime")
"""Those whose version decides speeds and bits."""

_CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> str:
    """The processor by its name, the number of CPUs and the system, as one phrase."""
    return f"{_processor()}, {os.cpu_count()} CPUs, {describe_system()}"


def describe_system() -> str:
    """The operating system and the kind of processor: ``Linux x86_64``."""
    return f"{platform.system()} {platform.machine()}".strip() or os.name


def measure_load() -> float | None:
    """Processes that wanted a CPU, a CPU, over the last minute; None where nobody counts them."""
    if not hasattr(os, "getloadavg"):
        return None
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def list_versions() -> dict[str, str]:
    """Versions of Python and of those of `PACKAGES` that are installed; none is imported."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
