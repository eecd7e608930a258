"""The run folder: what is in it, and that no interruption changes what comes out."""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import itertools
import json
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lenet import checkpoints, trust
from lenet.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from lenet.classifier import Classifier
from lenet.data import datasets
from lenet.data.distortions import Distortions
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.errors import CheckpointError, DataError, InputError, LenetError, RunError
from lenet.networks import build_network
from lenet.runs import (
    create_run,
    extend_run,
    finish_run,
    folders,
    lifecycle,
    open_run,
    origin,
    plan,
    records,
    states,
)
from lenet.training.loop import train
from lenet.training.recipes import Recipe

RECIPE = Recipe(
    "quick",
    optimizer="adamw",
    learning_rate=0.004,
    schedule="one-cycle",
    epochs=4,
    initialization="kaiming",
    pixels="standardized",
    distortions=Distortions(shift=1),
    weight_average=0.9,
)


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """The built-in digits with a fifth of the training images: quick, and still real.

    And a trust that is learnt from few examples: how good it is, is not asked here.
    """

    def load(name_or_folder, **options):
        splits = datasets.load_dataset(name_or_folder, **options)
        few = Split(splits.train.images[::5], splits.train.labels[::5])
        return dataclasses.replace(splits, train=few)

    monkeypatch.setattr(plan, "load_dataset", load)
    monkeypatch.setattr(origin, "load_dataset", load)
    monkeypatch.setattr(trust, "N_EXAMPLES", 200)


@pytest.fixture(scope="module")
def engine():
    return select_engine("torch", "cpu")


@pytest.fixture
def begun(tmp_path, engine):
    return create_run("digits", "modern", RECIPE, out=tmp_path / "runs", engine=engine)


@pytest.fixture
def finished(begun):
    return finish_run(begun)


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def stop_after(n_epochs: int):
    """An `on_epoch` that is interrupted as by Ctrl-C."""

    def on_epoch(epoch):
        if epoch.epoch == n_epochs:
            raise KeyboardInterrupt

    return on_epoch


def test_what_is_in_a_finished_run(finished):
    folder = finished.folder
    assert folder.name == "digits-modern-1"
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert names - {"state/lock"} == {
        "model.safetensors",
        "history.csv",
        "run.json",
        "state/last.json",
        "state/epoch-000003.safetensors",
        "state/epoch-000004.safetensors",
    }


def test_the_results_are_those_of_the_saved_weights(finished, engine):
    results = json.loads((finished.folder / "run.json").read_text())["results"]
    assert results == finished.results
    assert list(results) == [
        *("run", "network", "data", "recipe", "seed", "epochs_run", "best_epoch"),
        *("train_accuracy", "validation_accuracy", "test_accuracy"),
        *("train_interval", "train_errors", "train_images"),
        *("validation_interval", "validation_errors", "validation_images"),
        *("test_interval", "test_errors", "test_images", "seconds", "diagnosis"),
    ]
    checkpoint = load_checkpoint(finished.folder)
    for name in ("train", "validation", "test"):
        part = finished.splits.part(name)
        scores = engine.scores(checkpoint.network, part.images, checkpoint.preprocessing)
        assert results[f"{name}_accuracy"] == (scores.argmax(1) == part.labels).mean()
        assert results[f"{name}_errors"] == (scores.argmax(1) != part.labels).sum()
        assert results[f"{name}_images"] == len(part)
        assert finished.evaluation[name].n_errors == results[f"{name}_errors"]
    assert np.array_equal(finished.test_scores, scores)
    assert results["test_accuracy"] > 0.5
    best = finished.state.history[results["best_epoch"] - 1]
    assert results["validation_accuracy"] == best.validation_accuracy


def test_a_run_shows_itself_predicts_and_is_saved(begun, finished, tmp_path):
    assert repr(begun) == f"<Run {begun.folder}: 0 of 4 epochs>"
    test = finished.evaluate("test")
    assert test is finished.evaluation["test"]
    assert repr(finished).endswith(f"finished, test accuracy {100 * test.accuracy:.2f} %>")
    page = finished._repr_html_()
    assert "data:image/png;base64," in page
    assert f"{test.n_errors:,} of {test.n_images:,}" in page
    assert "png" not in begun._repr_html_()
    finished.save(tmp_path / "mine.safetensors")
    assert (
        sha256(finished.folder)
        == hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()
    )
    digit = 255 - np.pad(finished.splits.test.images[0], 30)
    assert finished.predict(digit).top == Classifier.load(finished.folder).predict(digit).top


def test_what_an_unfinished_run_cannot_say_is_an_error(begun):
    with pytest.raises(RunError, match="is not finished"):
        begun.evaluate()
    with pytest.raises(DataError, match="split 'all' is unknown"):
        begun.evaluate("all")
    with pytest.raises(CheckpointError, match="holds no model"):
        begun.predict(np.zeros((9, 9), np.uint8))


def test_the_weights_say_where_they_come_from(finished):
    metadata = load_checkpoint(finished.folder).metadata
    assert metadata["data"] == {"name": "digits", "sha256": finished.splits.sha256}
    assert Recipe.from_dict(metadata["recipe"]) == RECIPE
    assert metadata["metrics"]["test_accuracy"] == finished.results["test_accuracy"]
    assert set(metadata["versions"]) >= {"lenet", "torch", "python"}


def test_the_history_is_a_table_with_one_row_an_epoch(finished):
    with (finished.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for row, epoch in zip(rows, finished.state.history, strict=True):
        assert {key: float(value) for key, value in row.items()} == dataclasses.asdict(epoch)


def test_the_test_part_is_read_once_and_last(begun, monkeypatch):
    scored = []
    scores = type(begun.engine).scores

    def noting(self, module, ink, preprocessing):
        scored.append(len(ink))
        return scores(self, module, ink, preprocessing)

    monkeypatch.setattr(type(begun.engine), "scores", noting)
    finish_run(begun)
    assert scored.count(len(begun.splits.test)) == 1
    assert scored[-1] == len(begun.splits.test)


def test_preprocessing_is_computed_once(tmp_path, engine, monkeypatch):
    """It walks all training images: an epoch's worth of time at every best epoch."""
    computed = []
    preprocessing = Recipe.preprocessing

    def noting(recipe, splits):
        computed.append(splits)
        return preprocessing(recipe, splits)

    monkeypatch.setattr(Recipe, "preprocessing", noting)
    run = create_run("digits", "modern", RECIPE, out=tmp_path, engine=engine)
    finish_run(run)
    assert len(computed) == 1
    assert load_checkpoint(run.folder).preprocessing == run.preprocessing
    finish_run(open_run(run.folder))
    assert len(computed) == 2


def test_a_run_whose_settings_name_a_loss_goes_on(begun):
    """Plans of version 0.1.0 do."""
    path = begun.folder / "run.json"
    settings = json.loads(path.read_text())
    settings["recipe"]["loss"] = "cross-entropy"
    path.write_text(json.dumps(settings))
    opened = open_run(begun.folder)
    assert opened.recipe == RECIPE
    settings["recipe"]["loss"] = "hinge"
    path.write_text(json.dumps(settings))
    with pytest.raises(RunError, match="hinge"):
        open_run(begun.folder)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_bits(begun, finished, epochs):
    expected = sha256(finished.folder)
    other = create_run("digits", "modern", RECIPE, out=begun.folder.parent, engine=begun.engine)
    with pytest.raises(KeyboardInterrupt):
        finish_run(other, stop_after(epochs))
    assert load_checkpoint(other.folder)  # the best so far can be used
    resumed = open_run(other.folder)
    assert resumed.state.epoch == epochs
    assert resumed.results is None
    done = finish_run(resumed)
    assert sha256(other.folder) == expected
    without_times = [
        [
            {k: v for k, v in dataclasses.asdict(e).items() if "second" not in k}
            for e in run.state.history
        ]
        for run in (done, finished)
    ]
    assert without_times[0] == without_times[1]


def test_a_run_stopped_before_its_first_epoch_resumes_to_the_same_bits(begun, finished):
    other = create_run("digits", "modern", RECIPE, out=begun.folder.parent, engine=begun.engine)
    assert open_run(other.folder).state is None
    finish_run(open_run(other.folder))
    assert sha256(other.folder) == sha256(finished.folder)


@pytest.mark.slow
def test_every_write_can_be_the_last(tmp_path, engine, monkeypatch):
    """The process ends in the middle of each write in turn, its half-written file left behind."""
    recipe = dataclasses.replace(RECIPE, epochs=2)
    write = checkpoints.write_atomic
    begin = functools.partial(create_run, "digits", "modern", recipe, out=tmp_path, engine=engine)
    whole = finish_run(begin())

    for n_writes in itertools.count():
        run = begin()
        written = []

        def dying(path, data, n_writes=n_writes, written=written):
            if len(written) == n_writes:
                (path.parent / f".{path.name}.dead.tmp").write_bytes(data[:100])
                raise SystemExit
            write(path, data)
            written.append(path)

        with monkeypatch.context() as patch:
            for module in (records, folders, states, checkpoints):
                patch.setattr(module, "write_atomic", dying)
            with contextlib.suppress(SystemExit):
                run = finish_run(run)
        if run.results is not None:
            break
        finish_run(open_run(run.folder))
        assert sha256(run.folder) == sha256(whole.folder)
        assert list(run.folder.rglob("*.tmp")) == []
    assert n_writes >= 3 * recipe.epochs + 2


def test_a_torn_newest_state_falls_back_on_the_one_before(begun, finished):
    other = create_run("digits", "modern", RECIPE, out=begun.folder.parent, engine=begun.engine)
    with pytest.raises(KeyboardInterrupt):
        finish_run(other, stop_after(3))
    newest = other.folder / "state" / "epoch-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    resumed = open_run(other.folder)
    assert resumed.state.epoch == 2
    finish_run(resumed)
    assert sha256(other.folder) == sha256(finished.folder)


def test_a_finished_run_comes_back_as_it_is(finished, monkeypatch):
    monkeypatch.setattr(lifecycle, "train", pytest.fail)
    opened = open_run(finished.folder)
    assert opened.evaluation == {}
    before = {file: file.read_bytes() for file in finished.folder.rglob("*") if file.is_file()}
    again = finish_run(opened)
    assert {file: file.read_bytes() for file in before} == before
    assert again.results == finished.results
    assert again.evaluation["test"].n_errors == finished.evaluation["test"].n_errors
    assert finish_run(again) is again
    ours, theirs = again.network.state_dict(), finished.network.state_dict()
    assert all((ours[key] == theirs[key]).all() for key in theirs)


def test_runs_are_numbered_in_order(tmp_path, engine):
    numbers = []
    for _ in range(3):
        run = create_run("digits", "modern", RECIPE, out=tmp_path, engine=engine)
        numbers.append(run.folder.name)
    (tmp_path / "digits-modern-2" / "run.json").unlink()
    shutil.rmtree(tmp_path / "digits-modern-1")
    numbers.append(create_run("digits", "modern", RECIPE, out=tmp_path, engine=engine).folder.name)
    assert numbers == [f"digits-modern-{n}" for n in (1, 2, 3, 4)]


def _make(out: Path, n: int) -> list[str]:
    return [lifecycle.make_folder(out, "digits-modern").name for _ in range(n)]


def test_runs_begun_at_the_same_time_get_different_folders(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        made = pool.starmap(_make, [(tmp_path, 20)] * 3)
    assert len(set(itertools.chain(*made))) == 60


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock on Windows")
def test_a_run_in_progress_is_not_resumed_by_another(begun):
    def second(epoch):
        with pytest.raises(RunError, match="another process"):
            finish_run(open_run(begun.folder))

    finish_run(begun, second)


def test_what_is_no_run_is_refused(tmp_path, finished):
    with pytest.raises(RunError, match="there is no folder"):
        open_run(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"it has no run\.json"):
        open_run(tmp_path)
    settings = finished.folder / "run.json"
    good = json.loads(settings.read_text())
    for bad in ("", "[]", "{}", "[" * 100_000, json.dumps({**good, "recipe": {}})):
        settings.write_text(bad)
        with pytest.raises(RunError, match=r"run\.json"):
            open_run(finished.folder)


@pytest.mark.parametrize(
    ("place", "values"),
    [
        (("recipe",), [None, [], {}, "x", 5]),
        (("network",), [None, [], {}, "x", 5]),
        (("options",), [None, "x", 5, {"dropout": []}, {"dropout": "x"}, {"more": 1}]),
        (("results",), ["x", 5, True, [1]]),
        (("extensions",), [None, "x", 5, [1], [{}], {"after": 1}]),
        (("own",), [None, 5, True]),
        (("weights",), [[], {}, "x", 5]),
        (("data",), [None, [], {}, "x", 5]),
        (("data", "source"), [None, [], {}, 5, True, "/nowhere"]),
        (("data", "validation"), [[], {}, "x"]),
        (("data", "sha256"), [None, [], "x"]),
    ],
)
def test_settings_that_no_run_has_written_are_refused(begun, place, values):
    path = begun.folder / "run.json"
    written = path.read_text()
    for value in values:
        settings = json.loads(written)
        *inner, last = place
        (settings[inner[0]] if inner else settings)[last] = value
        path.write_text(json.dumps(settings))
        with pytest.raises(RunError, match=r"damaged|gone|no longer"):
            open_run(begun.folder)


def test_a_damaged_state_is_refused_with_a_way_out(begun):
    with pytest.raises(KeyboardInterrupt):
        finish_run(begun, stop_after(2))
    for file in (begun.folder / "state").glob("epoch-*"):
        file.write_bytes(b"")
    with pytest.raises(RunError, match="from the start"):
        open_run(begun.folder)
    (begun.folder / "state" / "last.json").write_text("{")
    with pytest.raises(RunError, match=r"last\.json"):
        open_run(begun.folder)


def test_other_data_than_it_began_with_are_refused(begun, monkeypatch):
    load = origin.load_dataset
    monkeypatch.setattr(
        origin, "load_dataset", lambda *a, **k: dataclasses.replace(load(*a, **k), sha256="other")
    )
    with pytest.raises(RunError, match="no longer the data set"):
        open_run(begun.folder)


def test_a_run_goes_on_when_its_folder_of_pictures_has_moved(tmp_path, engine):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for i in range(30):
            file = tmp_path / "here" / name / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture = np.full((60, 90), 230, np.uint8)
            picture[10:30, 20:35] = rng.integers(0, 90, (20, 15))
            Image.fromarray(picture).save(file)
    (tmp_path / "here" / "a" / "bad.png").write_bytes(b"no picture")
    run = create_run(
        tmp_path / "here",
        "modern",
        RECIPE,
        preparation="garment",
        skip_damaged=True,
        out=tmp_path / "runs",
        engine=engine,
    )
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(RunError, match=r"here is gone, the data set that .* --data FOLDER"):
        open_run(run.folder)
    with pytest.raises(RunError, match="digits is not the data set that"):
        open_run(run.folder, data="digits")
    again = open_run(run.folder, data=tmp_path / "there")
    assert again.splits.preparation == "garment"
    assert again.splits.sha256 == run.splits.sha256
    assert np.array_equal(again.splits.train.images, run.splits.train.images)
    assert again.source == str(tmp_path / "there")


def test_what_cannot_be_is_refused_before_a_folder_is_made(tmp_path, monkeypatch, engine):
    out = tmp_path / "runs"
    with pytest.raises(InputError, match="lenet6"):
        create_run("digits", "lenet6", RECIPE, out=out, engine=engine)
    with pytest.raises(DataError):
        create_run("digitz", "modern", RECIPE, out=out, engine=engine)
    load = plan.load_dataset

    def odd(*arguments, **options):
        return dataclasses.replace(load(*arguments, **options), class_names=("\n", *"123456789"))

    monkeypatch.setattr(plan, "load_dataset", odd)
    with pytest.raises(CheckpointError, match="printable"):
        create_run("digits", "modern", RECIPE, out=out, engine=engine)

    def untestable(*arguments, **options):
        nothing = Split(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64))
        return dataclasses.replace(load(*arguments, **options), test=nothing)

    monkeypatch.setattr(plan, "load_dataset", untestable)
    with pytest.raises(DataError, match="no test images"):
        create_run("digits", "modern", RECIPE, out=out, engine=engine)
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path, engine):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make a run folder"):
        create_run("digits", "modern", RECIPE, out=tmp_path / "file", engine=engine)


def test_a_training_that_diverges_is_an_error_and_no_finished_run(tmp_path, engine):
    wild = dataclasses.replace(RECIPE, learning_rate=1e30)
    run = create_run("digits", "modern", wild, out=tmp_path, engine=engine)
    with pytest.raises(LenetError, match="diverged"):
        finish_run(run)
    assert open_run(run.folder).results is None
    assert not (run.folder / "model.safetensors").exists()


def test_no_arguments_are_enough(tmp_path, monkeypatch, engine):
    monkeypatch.chdir(tmp_path)
    chosen = []
    monkeypatch.setattr(
        plan, "default_recipe", lambda *arguments: chosen.append(arguments) or RECIPE
    )
    monkeypatch.setattr(lifecycle, "select_engine", lambda: engine)
    run = create_run()
    assert run.folder.resolve() == tmp_path / "runs" / "digits-modern-1"
    assert chosen == [("modern", run.splits)]


def test_all_images_can_be_learnt_from(tmp_path, engine):
    """Nothing chooses then: the last epoch is kept, whatever stops the run in between."""
    recipe = dataclasses.replace(RECIPE, epochs=2)
    begin = functools.partial(
        create_run, "digits", "modern", recipe, validation=0, out=tmp_path, engine=engine
    )
    whole = finish_run(begin())
    assert len(whole.splits.validation) == 0
    assert whole.results["best_epoch"] == 2
    assert whole.results["validation_accuracy"] is None
    assert whole.results["validation_errors"] == whole.results["validation_images"] == 0
    assert set(whole.evaluation) == {"train", "test"}
    other = begin()
    with pytest.raises(KeyboardInterrupt):
        finish_run(other, stop_after(1))
    opened = open_run(other.folder)
    assert len(opened.splits.validation) == 0
    assert np.isnan(opened.state.best.validation_accuracy)
    finish_run(opened)
    assert sha256(other.folder) == sha256(whole.folder)


def test_a_number_of_images_chooses(tmp_path, engine):
    run = create_run("digits", "modern", RECIPE, validation=50, out=tmp_path, engine=engine)
    assert len(run.splits.validation) == len(open_run(run.folder).splits.validation) == 50


def test_a_run_can_be_given_a_name(tmp_path, engine):
    begin = functools.partial(create_run, "digits", "modern", RECIPE, out=tmp_path, engine=engine)
    assert begin(name="first try").folder == tmp_path / "first try"
    with pytest.raises(RunError, match=r"is there already.*--resume '.*first try'"):
        begin(name="first try")
    for name in ("", "..", "a/b", "a\\b", "a\nb", "-x", " a"):
        with pytest.raises(InputError, match="name of a folder"):
            begin(name=name)


def test_changes_reach_the_recipe_and_the_network(tmp_path, engine):
    changes = {"epochs": 1, "distortions.rotate": 0.1, "dropout": 0.5}
    run = create_run("digits", "modern", RECIPE, changes=changes, out=tmp_path, engine=engine)
    assert (run.recipe.epochs, run.recipe.distortions.rotate) == (1, 0.1)
    assert run.network.options["dropout"] == 0.5
    assert open_run(run.folder).network.options == run.network.options


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Weights that know a little: a file."""
    network = build_network("modern", activation="tanh")
    splits = datasets.load_dataset("digits")
    few = Split(splits.train.images[::5], splits.train.labels[::5])
    train(network, dataclasses.replace(splits, train=few), RECIPE, engine=select_engine("torch"))
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    preprocessing = Preprocessing("digit", scale=2.0, offset=-0.5)
    save_checkpoint(path, Checkpoint(network, preprocessing, splits.class_names))
    return path


def test_a_run_may_start_from_trained_weights(tmp_path, engine, teacher):
    """Network, options and the scale of the input are the weights'; so is the output layer."""
    still = dataclasses.replace(
        RECIPE, optimizer="sgd", learning_rate=1e-12, epochs=1, weight_average=0.0
    )
    begin = functools.partial(create_run, recipe=still, weights=teacher, out=tmp_path)
    run = finish_run(begin("digits", engine=engine))
    theirs = load_checkpoint(teacher).network
    assert all(map(torch.equal, run.network.parameters(), theirs.parameters()))
    assert run.network.options["activation"] == "tanh"
    made = load_checkpoint(run.folder)
    assert (made.preprocessing.scale, made.preprocessing.offset) == (2.0, -0.5)
    about = json.loads((run.folder / "run.json").read_text())["weights"]
    assert made.metadata["weights"] == about
    assert about["source"] == str(teacher)
    assert f"--weights {teacher}" in run.command
    assert "activation" not in run.command
    with pytest.raises(InputError, match="those of network modern, not tutorial"):
        begin("digits", "tutorial", engine=engine)


def test_other_classes_get_a_new_output_layer(tmp_path, engine, teacher, monkeypatch):
    load = plan.load_dataset

    def two_classes(*arguments, **options):
        splits = load(*arguments, **options)

        def low(split):
            kept = split.labels < 2
            return Split(split.images[kept], split.labels[kept])

        parts = {name: low(splits.part(name)) for name in ("train", "validation", "test")}
        return dataclasses.replace(splits, class_names=("zero", "one"), **parts)

    monkeypatch.setattr(plan, "load_dataset", two_classes)
    monkeypatch.setattr(origin, "load_dataset", two_classes)
    run = create_run("digits", recipe=RECIPE, weights=teacher, out=tmp_path, engine=engine)
    assert run.network.num_classes == 2
    assert not [k for k in run.start.initial(run.splits.class_names) if k.startswith("output")]
    assert finish_run(run).results["test_accuracy"] > 0.9
    old = create_run("digits", recipe=RECIPE, weights="lecun1998", out=tmp_path, engine=engine)
    assert old.network.options["characters"] == "01"


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_run_from_weights_resumes_to_the_same_bits(tmp_path, engine, teacher, epochs):
    """Even when the weights it started from are gone."""
    mine = tmp_path / "mine.safetensors"
    shutil.copy(teacher, mine)
    begin = functools.partial(
        create_run, recipe=RECIPE, weights=mine, out=tmp_path / "runs", engine=engine
    )
    whole, other = finish_run(begin()), begin()
    mine.unlink()
    if epochs:
        with pytest.raises(KeyboardInterrupt):
            finish_run(other, stop_after(epochs))
    finish_run(open_run(other.folder))
    assert sha256(other.folder) == sha256(whole.folder)


def test_a_finished_run_goes_on_to_more_epochs(begun, finished):
    """A schedule that has come down rises again, to where it is for so many epochs."""
    longer = extend_run(finished, 7)
    assert longer.results is None
    done = finish_run(longer)
    assert done.state.epoch == 7
    assert done.results["epochs_run"] == 7
    rates = [epoch.learning_rate for epoch in done.state.history]
    assert rates[4] > 10 * rates[3]
    usual = dataclasses.replace(RECIPE, epochs=7)
    run = create_run("digits", "modern", usual, out=begun.folder.parent, engine=begun.engine)
    whole = finish_run(run)
    assert rates[4:] == [epoch.learning_rate for epoch in whole.state.history[4:]]
    assert open_run(done.folder).command == (
        f"{finished.command} && lenet train --resume {done.folder} --epochs 7"
    )
    with pytest.raises(RunError, match="has 7 epochs already"):
        extend_run(done, 7)
    with pytest.raises(InputError, match="epochs must be"):
        extend_run(done, 0)


def test_with_a_constant_rate_a_longer_run_is_what_it_had_been_from_the_start(tmp_path, engine):
    recipe = dataclasses.replace(RECIPE, schedule="constant", epochs=2)
    begin = functools.partial(create_run, "digits", "modern", out=tmp_path, engine=engine)
    whole = finish_run(begin(dataclasses.replace(recipe, epochs=4)))
    longer = extend_run(open_run(finish_run(begin(recipe)).folder), 4)
    with pytest.raises(KeyboardInterrupt):
        finish_run(longer, stop_after(3))
    finish_run(open_run(longer.folder))
    assert sha256(longer.folder) == sha256(whole.folder)


def test_a_run_that_lost_its_patience_needs_more_of_it(tmp_path, engine):
    recipe = dataclasses.replace(
        RECIPE, learning_rate=1e-30, optimizer="sgd", weight_average=0.0, patience=1, epochs=9
    )
    run = finish_run(create_run("digits", "modern", recipe, out=tmp_path, engine=engine))
    assert run.state.epoch < 9
    with pytest.raises(RunError, match="more patience too"):
        extend_run(run, 20)
    longer = extend_run(run, patience=3)
    assert (longer.recipe.epochs, longer.recipe.patience) == (9, 3)
    assert longer.command.endswith("--epochs 9 --patience 3")


def test_a_run_with_its_own_loss_and_optimizer_needs_them_again(tmp_path, engine):
    own = {
        "loss": lambda scores, labels: torch.nn.functional.multi_margin_loss(scores, labels),
        "optimizer": lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9),
    }
    begin = functools.partial(
        create_run, "digits", "modern", RECIPE, out=tmp_path, engine=engine, **own
    )
    whole, other = finish_run(begin()), begin()
    assert whole.results["test_accuracy"] > 0.5
    assert whole.command is None
    with pytest.raises(KeyboardInterrupt):
        finish_run(other, stop_after(2))
    with pytest.raises(RunError, match="its own loss: go on from Python"):
        open_run(other.folder)
    with pytest.raises(RunError, match="its own optimizer"):
        open_run(other.folder, loss=own["loss"])
    finish_run(open_run(other.folder, **own))
    assert sha256(other.folder) == sha256(whole.folder)


def test_a_loss_that_the_run_began_without_is_refused(begun):
    with pytest.raises(RunError, match="began without its own loss"):
        open_run(begun.folder, loss=torch.nn.functional.cross_entropy)


def test_a_callback_may_end_a_run(begun):
    run = finish_run(begun, lambda epoch: epoch.epoch == 2)
    assert run.results["epochs_run"] == 2
    assert open_run(run.folder).results == run.results
