"""A tiny benchmark, whole: who took part and what is told; how fast anything is decides no test."""

import importlib.util
import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from lenet.benchmark import run
from lenet.benchmark.figures import draw_speeds
from lenet.benchmark.peers import OUR_STEPS, PEERS, takes_part
from lenet.benchmark.results import Contest, format_table
from lenet.benchmark.run import run_benchmark
from lenet.benchmark.scope import Scope
from lenet.errors import InputError, LenetError
from lenet.figures.style import write

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
TINY = Scope(
    (Contest("training", "tutorial", 64), Contest("inference", "modern", 100)),
    peers=tuple(peer for peer in PEERS if peer != "torch-compile"),
    n_images=128,
    rounds=2,
    turn_seconds=0.001,
    processes=False,
    product_size=128,
)
ONE = replace(TINY, contests=TINY.contests[1:], peers=("lenet",))


@pytest.fixture(scope="module")
def tiny():
    return run_benchmark(TINY)


def test_json_has_the_promised_keys(tiny):
    told = json.loads(json.dumps(tiny.to_dict()))
    assert {"machine", "versions", "threads", "peak_gflops", "rows"} <= set(told)
    assert {tuple(row) for row in told["rows"]} == {
        (
            "task",
            "network",
            "batch_size",
            "who",
            "images_per_second",
            "low",
            "high",
            "slowest",
            "fastest",
        )
    }
    assert told["versions"]["torch"] == torch.__version__
    assert told["threads"] == torch.get_num_threads()


def test_every_peer_has_its_speed(tiny):
    here = set(TINY.peers) - (set() if HAS_ONNX else {"onnxruntime"})
    expected = {(c, who) for c in TINY.contests for who in here if takes_part(who, c)}
    assert {(row.contest, row.who) for row in tiny.rows} == expected
    assert len(tiny.rows) == len(expected)
    assert set(tiny.left_out) == set(TINY.peers) - here


def test_median_lies_between_the_quartiles(tiny):
    for row in tiny.rows:
        turns = [0, row.slowest, row.low, row.images_per_second, row.high, row.fastest]
        assert turns == sorted(turns)
    assert tiny.peak_gflops > 0
    assert tiny.memory_gb_per_second > 0


def test_the_step_is_split_into_its_stages(tiny):
    assert [(stage.who, stage.stage) for stage in tiny.stages] == [
        (who, stage) for who, step in OUR_STEPS.items() for stage in step.stages
    ]
    assert all(stage.microseconds > 0 for stage in tiny.stages)
    assert {s.stage for s in tiny.stages if s.share_of_peak > 0} == {
        "learn",
        "forward",
        "backward",
    }


def test_the_picture_has_a_panel_for_every_contest(tiny, tmp_path):
    figure = draw_speeds(tiny)
    shown = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert shown == [str(contest) for contest in TINY.contests]
    for axes, contest in zip(figure.axes, TINY.contests, strict=False):
        fastest_first = [row.who for row in tiny.contests()[contest]]
        assert [label.get_text() for label in axes.get_yticklabels()][::-1] == fastest_first
    write(tmp_path / "bench.png", figure)
    with Image.open(tmp_path / "bench.png") as picture:
        assert picture.format == "PNG"


def test_says_what_comes_next():
    said = []
    run_benchmark(ONE, said.append)
    assert said == [
        "inference · modern · batch 100: lenet",
        "inference · modern · batch 100: by turns",
    ]


def test_a_peer_that_is_not_installed_is_left_out_and_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    benchmark = run_benchmark(replace(ONE, peers=("lenet", "onnxruntime")))
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
def test_impossible_scopes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(TINY, **change)


def answer_of(module, argument):
    """Instead of a fresh process."""
    return {"first_use": "1.25", "training_memory": str(100 * 2**20)}[module]


def test_fresh_processes_are_asked_once_for_each_network(monkeypatch):
    asked = []
    monkeypatch.setattr(run, "explain_absence", lambda name: "")
    monkeypatch.setattr(run.training_memory, "STATUS", run.training_memory.Path(__file__))
    monkeypatch.setattr(
        run, "_ask_fresh_process", lambda *asking: (asked.append(asking[0]), answer_of(*asking))[1]
    )
    benchmark = run_benchmark(replace(ONE, contests=ONE.contests * 2, processes=True))
    assert asked == ["first_use", "training_memory"]
    assert benchmark.compile_seconds == {"modern": 1.25}
    assert benchmark.training_memory_mb == 100
    assert benchmark.left_out == {}


def test_memory_without_the_data_set_is_left_out_and_nothing_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_DATA", str(tmp_path))
    monkeypatch.setenv("LENET_CACHE", str(tmp_path))
    monkeypatch.setattr(run.training_memory, "STATUS", run.training_memory.Path(__file__))
    monkeypatch.setattr(run, "_ask_fresh_process", answer_of)
    benchmark = run_benchmark(replace(ONE, processes=True))
    assert benchmark.training_memory_mb is None
    assert benchmark.left_out == {
        "memory": "fashion-mnist is missing, `lenet data get fashion-mnist` fetches it"
    }
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_fails_takes_nothing_else_with_it(monkeypatch):
    def fail(module, argument):
        if module == "training_memory":
            raise LenetError("a fresh process failed: no memory")
        return answer_of(module, argument)

    monkeypatch.setattr(run, "explain_absence", lambda name: "")
    monkeypatch.setattr(run.training_memory, "STATUS", run.training_memory.Path(__file__))
    monkeypatch.setattr(run, "_ask_fresh_process", fail)
    benchmark = run_benchmark(replace(ONE, processes=True))
    assert benchmark.left_out == {"memory": "a fresh process failed: no memory"}
    assert len(benchmark.rows) == 1


@pytest.mark.slow
def test_a_fresh_process_times_the_first_use():
    assert 0 < float(run._ask_fresh_process("first_use", "tutorial")) < 600


@pytest.mark.slow
@pytest.mark.skipif(
    not run.training_memory.STATUS.is_file(), reason="this system does not tell the peak memory"
)
def test_a_fresh_process_measures_the_memory_of_a_training(fashion, tmp_path):
    taken = int(run._ask_fresh_process("training_memory", str(tmp_path / "run")))
    # At least the images in memory, each a byte a pixel.
    assert fashion.train.images.nbytes < taken < 2**31
    assert len(list((tmp_path / "run").rglob("model.safetensors"))) == 1


def test_a_fresh_process_that_fails_says_its_last_line():
    with pytest.raises(LenetError, match=r"a fresh process failed: .*nosuchnetwork"):
        run._ask_fresh_process("first_use", "nosuchnetwork")
