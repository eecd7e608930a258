"""The table of a made-up benchmark, and the published file's keys."""

import json
from dataclasses import fields, replace
from pathlib import Path

from lenet.benchmark import run
from lenet.benchmark.results import Benchmark, Contest, Speed, Stage, format_table

PUBLISHED = Path(__file__).parents[2] / "results" / "bench.json"
MADE_UP = Benchmark(
    machine="a machine",
    versions={},
    threads=2,
    engine="engine fused",
    peak_gflops=226.0,
    memory_gb_per_second=30.0,
    rows=(
        Speed("training", "tutorial", 64, "torch-eager", 1e4, 9.5e3, 1.05e4, 9e3, 1.1e4),
        Speed("training", "tutorial", 64, "lenet", 6e4, 5.5e4, 6.5e4, 5e4, 7e4),
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
    assert "60,000 images/s  (55,000 – 65,000)" in ours
    assert ours.endswith("60% of peak")  # 60,000 × 2.26 million of 226 thousand million
    assert theirs.endswith("lenet is 6.0 × as fast")
    assert any("1.2 s" in line for line in lines)
    assert any("123 MB" in line for line in lines)


def test_inference_is_measured_by_its_own_arithmetic():
    speed = Speed("inference", "tutorial", 1, "lenet", 226e9 / 833_040, 1.0, 1.0, 1.0, 1.0)
    assert round(MADE_UP.share_of_peak(speed), 3) == 1.0


def test_the_published_file_has_the_keys_of_today():
    published = json.loads(PUBLISHED.read_text("utf-8"))
    told = MADE_UP.to_dict()
    # Measured before these were told.
    newer = {"load", "remarks", "slowest", "fastest"}
    assert list(published) == [key for key in told if key in published or key not in newer]
    for part, kind in (("rows", Speed), ("stages", Stage)):
        keys = [field.name for field in fields(kind)]
        assert all(list(values) == keys for values in told[part])
        for values in published[part]:
            assert list(values) == [key for key in keys if key in values or key not in newer]


def measured(load, *turns):
    """A benchmark of `lenet` and others by the images a second of each of their turns."""
    contest = Contest("training", "tutorial", 64)
    who = ("lenet", "torch-eager", "article")
    seconds = [[64 / speed for speed in each] for each in turns]
    rows = tuple(run._speed(contest, name, each) for name, each in zip(who, seconds, strict=False))
    return replace(MADE_UP, rows=rows, load=load)


STEADY = [100, 101, 102, 103, 104]
RESTLESS = [100, 80, 120, 95, 130]
WILD = [10, 50, 100, 101, 102]


def test_an_idle_machine_with_steady_turns_gives_no_remark():
    benchmark = measured(0.1, STEADY, [speed / 2 for speed in STEADY])
    assert benchmark.to_dict()["remarks"] == []
    assert "lenet is 2.0 × as fast" in format_table(benchmark)
    assert "~" not in format_table(benchmark)


def test_a_busy_machine_is_said_in_the_table_and_in_json():
    benchmark = measured(2.5, STEADY)
    (remark,) = benchmark.to_dict()["remarks"]
    assert remark.startswith("the machine was busy before the first turn (250% of every CPU)")
    assert remark in format_table(benchmark).splitlines()
    assert benchmark.to_dict()["load"] == 2.5


def test_where_nobody_counts_the_load_nothing_is_said_of_it():
    assert measured(None, STEADY).remarks() == ()


def test_turns_that_scatter_mark_their_row_and_keep_its_ratio():
    benchmark = measured(0.0, STEADY, RESTLESS)
    assert benchmark.rows[1].scatter > 0.2
    (remark,) = benchmark.remarks()
    assert remark.startswith("1 of 2 speeds are uncertain (~)")
    ours, theirs = (
        next(line for line in format_table(benchmark).splitlines() if line.startswith(f"  {who}"))
        for who in ("lenet", "torch-eager")
    )
    assert "~100 images/s" in theirs
    assert "lenet is 1.0 × as fast" in theirs
    assert "~" not in ours


def test_turns_that_differ_more_than_twofold_give_no_ratio():
    for ours, theirs, who in ((STEADY, WILD, "torch-eager"), (WILD, STEADY, "lenet")):
        table = format_table(measured(0.0, ours, theirs))
        assert "as fast" not in table
        assert f"no ratio: {who}'s turns differ 10.2-fold" in table
