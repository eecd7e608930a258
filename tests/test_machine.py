"""What a result says of the machine and the versions it was made with."""

import os
import platform
import subprocess
import sys
from importlib import metadata

import torch

from lenet import machine
from lenet.machine import describe_machine, describe_system, list_versions


def test_the_processor_has_the_name_that_linux_gives_it(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_bytes(b"processor\t: 0\nmodel name\t: Abacus 3000: \xff fast\nflags\t: sse\n")
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    assert describe_machine().startswith("Abacus 3000: ")
    assert describe_machine().endswith(f"{os.cpu_count()} CPUs, {describe_system()}")


def test_without_a_name_it_is_what_python_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert describe_machine().startswith("riscv64, ")
    (tmp_path / "none").write_text("no such line\n")
    assert describe_machine().startswith("riscv64, ")


def test_versions_are_those_that_are_installed(monkeypatch):
    versions = list_versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == torch.__version__
    assert versions["lenet"] == metadata.version("lenet")
    monkeypatch.setattr(machine, "PACKAGES", ("lenet", "no-such-package"))
    assert set(list_versions()) == {"python", "lenet"}


def test_it_is_told_without_importing_torch():
    code = (
        "import sys; from lenet.machine import describe_machine, list_versions\n"
        "describe_machine(), list_versions(); assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_load_is_by_the_cpu_and_none_where_nobody_counts(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 1.0, 1.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert machine.measure_load() == 1.5
    monkeypatch.delattr(os, "getloadavg")
    assert machine.measure_load() is None
