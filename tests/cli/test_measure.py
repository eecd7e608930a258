"""`lenet reproduce` on few patterns, and `lenet bench` with speeds that were made up."""

import pytest
from PIL import Image

from lenet.benchmark import run, scope
from lenet.benchmark.results import Benchmark, Speed
from lenet.cli import measure, options
from lenet.errors import InputError
from lenet.progress import Progress
from lenet.reproduction import ExperimentProgress


@pytest.mark.slow
def test_goes_the_whole_way_on_few_patterns(lenet_command, mnist, tmp_path):
    assert len(mnist.test) == 10000
    result = lenet_command(
        "reproduce", "--seeds", 2, "--passes", 1, "--subset", 600, "--out", tmp_path, "--json"
    )
    assert result.code == 0, result.err
    keys = ("seeds", "passes", "patterns", "seconds", "test_error_percent",
            "train_error_percent", "paper")  # fmt: skip
    assert list(result.json)[: len(keys)] == list(keys)
    assert (result.json["seeds"], result.json["patterns"]) == (2, 600)
    assert len(result.json["test_error_percent"]["values"]) == 2
    lines = result.err.splitlines()
    assert lines[:3] == [
        "LeNet-5 as trained in 1998: mnist, 1 pass over 600 patterns, 2 networks side by side",
        f"results and figures go to {tmp_path}",
        "loading torch",
    ]
    assert lines[3].startswith("engine fused on cpu")
    assert any(line.startswith("pass 1/1: error") for line in lines)
    assert "changes of" not in result.err
    assert "of training" in lines[-2]


def test_refuses_no_seeds(lenet_command, tmp_path):
    result = lenet_command("reproduce", "--seeds", 0, "--out", tmp_path)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ([], None),
        (["--studies", "none"], ()),
        (["--studies", "all"], options.STUDIES),
        (["--studies", "noise, scale"], ("noise", "scale")),
    ],
)
def test_studies_are_handed_on(lenet_command, monkeypatch, tmp_path, asked, given):
    taken = []

    def stop(*_, studies, **__):
        taken.append(studies)
        raise InputError("enough")

    monkeypatch.setattr("lenet.reproduction.reproduce", stop)
    assert lenet_command("reproduce", *asked, "--out", tmp_path).code == 2
    assert taken == [given]


@pytest.fixture
def measured(monkeypatch):
    """What the benchmark was asked to measure, instead of measuring it."""
    scopes = []
    speed = Speed("training", "tutorial", 64, "lenet", 6e4, 5.5e4, 6.5e4, 5e4, 7e4)
    benchmark = Benchmark("a machine", {}, 2, "engine fused", 226.0, 30.0, (speed,), ())

    def run_benchmark(wanted, on_progress):
        scopes.append(wanted)
        on_progress("training: lenet")
        return benchmark

    monkeypatch.setattr(run, "run_benchmark", run_benchmark)
    return scopes


def test_bench_tells_json_and_draws_the_picture(lenet_command, measured, tmp_path):
    picture = tmp_path / "bench.png"
    result = lenet_command("bench", "--quick", "--out", picture, "--json")
    assert result.code == 0, result.err
    assert measured == [scope.QUICK]
    assert result.json["rows"][0]["images_per_second"] == 60_000
    assert result.err.splitlines() == ["training: lenet", f"picture {picture}"]
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"


def test_bench_shows_a_table(lenet_command, measured, tmp_path):
    result = lenet_command("bench", "--out", tmp_path / "bench.png")
    assert measured == [scope.FULL]
    assert "60,000 images/s  (55,000 – 65,000)" in result.out


def test_a_pass_has_its_line_when_its_errors_are_known(capsys):
    tell = measure._teller(Progress())
    known = (0.5, 0.4), (0.3, 0.2)
    for number, (before, after) in enumerate(zip((None, *known), known, strict=False), 1):
        errors = before or (None, None)
        tell(ExperimentProgress(f"pass {number}/2", 1, 0, number, 2, number - 1, *errors))
        tell(ExperimentProgress(f"errors {number}", 1, 0, number, 2, number - 1, *errors))
        tell(ExperimentProgress("next", 0, 0, number, 2, number, *after))
    lines = [line for line in capsys.readouterr().err.splitlines() if "error " in line]
    assert lines == [
        "pass 1/2: error 50.00 % on the training patterns, 40.00 % on the test images",
        "pass 2/2: error 30.00 % on the training patterns, 20.00 % on the test images",
    ]
