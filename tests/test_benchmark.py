"""The benchmark's shape and arithmetic; how fast anything is decides no test."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lenet.benchmark import Benchmark, Contest, Plan, Row, Stage, draw, format_table, run_benchmark
from lenet.benchmark.peers import OUR_STEPS, PEERS, _ArticleImages, takes_part
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.errors import InputError
from lenet.networks import build_network

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
TINY = Plan(
    (Contest("training", "tutorial", 64), Contest("inference", "modern", 100)),
    peers=tuple(peer for peer in PEERS if peer != "torch-compile"),
    n_images=128,
    rounds=2,
    turn_seconds=0.001,
    processes=False,
    product_size=128,
)


def some_images(n: int) -> Split:
    random = np.random.default_rng(0)
    return Split(random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n))


@pytest.fixture(scope="module")
def tiny() -> Benchmark:
    return run_benchmark(TINY)


def test_json_has_the_promised_keys(tiny: Benchmark) -> None:
    told = json.loads(json.dumps(tiny.to_dict()))
    assert {"machine", "versions", "threads", "peak_gflops", "rows"} <= set(told)
    assert {tuple(row) for row in told["rows"]} == {
        ("task", "network", "batch_size", "who", "images_per_second", "low", "high")
    }
    assert told["versions"]["torch"] == torch.__version__
    assert told["threads"] == torch.get_num_threads()


def test_every_peer_has_its_row(tiny: Benchmark) -> None:
    here = set(TINY.peers) - (set() if HAS_ONNX else {"onnxruntime"})
    expected = {(c, who) for c in TINY.contests for who in here if takes_part(who, c)}
    assert {(row.contest, row.who) for row in tiny.rows} == expected
    assert len(tiny.rows) == len(expected)
    assert set(tiny.left_out) == set(TINY.peers) - here


def test_median_lies_between_the_quartiles(tiny: Benchmark) -> None:
    assert all(0 < row.low <= row.images_per_second <= row.high for row in tiny.rows)
    assert tiny.peak_gflops > 0
    assert tiny.memory_gb_per_second > 0


def test_the_step_is_split_into_its_stages(tiny: Benchmark) -> None:
    assert [(stage.who, stage.stage) for stage in tiny.stages] == [
        (who, stage) for who, step in OUR_STEPS.items() for stage in step.stages
    ]
    assert all(stage.microseconds > 0 for stage in tiny.stages)
    assert {s.stage for s in tiny.stages if s.share_of_peak > 0} == {
        "learn",
        "forward",
        "backward",
    }


def test_says_what_comes_next() -> None:
    said: list[str] = []
    plan = replace(TINY, contests=TINY.contests[1:], peers=("lenet",))
    run_benchmark(plan, said.append)
    assert said == [
        "inference · modern · batch 100: lenet",
        "inference · modern · batch 100: by turns",
    ]


def test_a_peer_that_is_not_installed_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    plan = replace(TINY, contests=TINY.contests[1:], peers=("lenet", "onnxruntime"))
    benchmark = run_benchmark(plan)
    assert [row.who for row in benchmark.rows] == ["lenet"]
    assert "not installed" in benchmark.left_out["onnxruntime"]
    assert "left out: onnxruntime: " in format_table(benchmark)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peers": ("lenet", "tensorflow")}, "tensorflow"),
        ({"contests": ()}, "at least one contest"),
        ({"rounds": 0}, "at least one contest and one round, got 2 and 0"),
        ({"n_images": 99}, "99 images are too few for a batch of 100"),
    ],
)
def test_impossible_plans_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(TINY, **change)


@pytest.mark.parametrize("who", OUR_STEPS)
def test_our_step_is_the_plain_torch_step(who: str) -> None:
    """What is timed is a real training: the same weights as the loop anyone would write."""
    data, contest = some_images(32), Contest("training", "tutorial", 32)
    ours = OUR_STEPS[who](contest, select_engine("torch", "cpu"), data)
    start = {name: value.clone() for name, value in ours.module.state_dict().items()}
    ours.work(3)

    network = build_network("tutorial")
    network.load_state_dict(start)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    images = torch.from_numpy(Preprocessing("plain").apply(data.images))
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), torch.from_numpy(data.labels)).backward()
        optimizer.step()
    for name, value in network.state_dict().items():
        assert not torch.equal(value, start[name])
        torch.testing.assert_close(ours.module.state_dict()[name], value, rtol=0, atol=2e-5)


def test_the_articles_pipeline_resizes_and_scales() -> None:
    data = some_images(1)
    image, label = _ArticleImages(data)[0]
    expected = np.asarray(
        Image.fromarray(data.images[0]).resize((32, 32), Image.Resampling.BILINEAR)
    )
    assert image.shape == (1, 32, 32)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), expected.astype(np.float32) / 255)
    assert label == data.labels[0]


MADE_UP = Benchmark(
    machine="a machine",
    versions={},
    threads=2,
    engine="engine fused",
    peak_gflops=226.0,
    memory_gb_per_second=30.0,
    rows=(
        Row("training", "tutorial", 64, "torch-eager", 10_000.0, 9_000.0, 11_000.0),
        Row("training", "tutorial", 64, "lenet", 60_000.0, 50_000.0, 70_000.0),
    ),
    stages=(Stage("tutorial", 64, "lenet-fuse", "forward", 500.0, 833_000, 0.5),),
    compile_seconds={"tutorial": 1.25},
    training_memory_mb=123.4,
)


def test_table_says_who_won_by_how_much() -> None:
    lines = format_table(MADE_UP).splitlines()
    (ours,) = (line for line in lines if line.startswith("  lenet"))
    (theirs,) = (line for line in lines if line.startswith("  torch-eager"))
    assert lines.index(ours) < lines.index(theirs)
    assert "60,000 images/s  (50,000 – 70,000)" in ours
    assert ours.endswith("60% of peak")  # 60,000 × 2.26 million of 226 thousand million
    assert theirs.endswith("lenet is 6.0 × as fast")
    assert any("1.2 s" in line for line in lines)
    assert any("123 MB" in line for line in lines)


def test_picture_is_drawn(tiny: Benchmark, tmp_path: Path) -> None:
    draw(tiny, tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200
