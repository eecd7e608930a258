"""The table of a made-up benchmark, and the published file's keys."""

import json
from dataclasses import fields
from pathlib import Path

from lenet.benchmark.results import Benchmark, Speed, Stage, format_table

PUBLISHED = Path(__file__).parents[2] / "results" / "bench.json"
MADE_UP = Benchmark(
    machine="a machine",
    versions={},
    threads=2,
    engine="engine fused",
    peak_gflops=226.0,
    memory_gb_per_second=30.0,
    rows=(
        Speed("training", "tutorial", 64, "torch-eager", 10_000.0, 9_000.0, 11_000.0),
        Speed("training", "tutorial", 64, "lenet", 60_000.0, 50_000.0, 70_000.0),
    ),
    stages=(Stage("tutorial", 64, "lenet-fuse", "forward", 500.0, 833_000, 0.5),),
    compile_seconds={"tutorial": 1.25},
    training_memory_mb=123.4,
)


def test_table_says_who_won_by_how_much():
    lines = format_table(MADE_UP).splitlines()
    (ours,) = (line for line in lines if line.startswith("  lenet"))
    (theirs,) = (line for line in lines if line.startswith("  torch-eager"))
    assert lines.index(ours) < lines.index(theirs)
    assert "60,000 images/s  (50,000 – 70,000)" in ours
    assert ours.endswith("60% of peak")  # 60,000 × 2.26 million of 226 thousand million
    assert theirs.endswith("lenet is 6.0 × as fast")
    assert any("1.2 s" in line for line in lines)
    assert any("123 MB" in line for line in lines)


def test_inference_is_measured_by_its_own_arithmetic():
    speed = Speed("inference", "tutorial", 1, "lenet", 226e9 / 833_040, 1.0, 1.0)
    assert round(MADE_UP.share_of_peak(speed), 3) == 1.0


def test_the_published_file_has_the_keys_of_today():
    published = json.loads(PUBLISHED.read_text("utf-8"))
    told = MADE_UP.to_dict()
    assert list(published) == list(told)
    for part, kind in (("rows", Speed), ("stages", Stage)):
        keys = [field.name for field in fields(kind)]
        assert all(list(values) == keys for values in (*published[part], *told[part]))
