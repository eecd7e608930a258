"""A picture of any kind becomes the same prediction, and the doubts are said."""

import dataclasses
import io
import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lenet.checkpoints import Checkpoint, pretrained_weights, save_checkpoint
from lenet.classifier import CHUNK, Classifier
from lenet.data.datasets import load_dataset
from lenet.data.preprocessing import Preprocessing
from lenet.errors import CheckpointError, InputError, PictureError, ShapeError
from lenet.evaluation import evaluate
from lenet.networks import LAYERS, NETWORKS, build_network
from lenet.networks.initialization import initialize
from lenet.trust import N_FEATURES, UNSURE, Trust

sys.path.insert(0, str(Path(__file__).parent))
import photographs

DIGITS = tuple("0123456789")


def believing(known=0.9, **changes):
    """Trust for which every picture is known just so much."""
    values = {
        "temperature": 1.0,
        "weight": np.zeros(N_FEATURES, np.float32),
        "bias": float(np.log(known / (1 - known))),
        "least_known": 0.5,
        "least_probability": 0.0,
        "rejection": np.array([[0, 0, 0.1], [0.99, 0.4, 0.01]], np.float32),
    }
    return Trust(**(values | changes))


def checkpoint(name="modern", *, preparation="digit", class_names=DIGITS, weight=1.0, trust=None):
    network = build_network(name, num_classes=len(class_names))
    scheme = "fan-in" if name == "lecun1998" else "kaiming"
    initialize(network, scheme, torch.Generator().manual_seed(0))
    if name != "lecun1998":
        with torch.no_grad():
            network.output.weight.mul_(weight)
            network.output.bias.mul_(0)
    return Checkpoint(network, Preprocessing(preparation, 3.0, -0.3), class_names, trust=trust)


@pytest.fixture(scope="module")
def classifier():
    return Classifier(checkpoint(weight=20.0))


@pytest.fixture
def picture():
    image = Image.new("RGB", (120, 160), (230, 225, 200))
    ImageDraw.Draw(image).line([(30, 40), (80, 40), (50, 120)], fill=(20, 20, 90), width=7)
    return image


@pytest.mark.parametrize("name", ["modern", "lecun1998"])
def test_weights_too_large_to_score_with_are_refused(name):
    weights = checkpoint(name)
    for array in weights.model.weights.values():
        array[...] = 3e38
    with pytest.raises(InputError, match="scores that are not finite"):
        Classifier(weights).predict(np.eye(60))


def test_every_kind_of_picture_gives_the_same_prediction(classifier, picture, tmp_path):
    file = io.BytesIO()
    picture.save(file, "PNG")
    path = tmp_path / "seven.png"
    path.write_bytes(file.getvalue())
    expected = classifier.predict(path)
    for same in (str(path), file.getvalue(), picture, Image.open(path), np.asarray(picture)):
        assert classifier.predict(same) == expected


def test_a_prediction_says_what_and_how_sure(classifier, picture):
    prediction = classifier.predict(picture, top=10)
    labels, probabilities = zip(*prediction.top, strict=True)
    assert sorted(labels) == list(DIGITS)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert (prediction.label, prediction.probability) == prediction.top[0]
    assert len(classifier.predict(picture).top) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.label = "8"


def test_many_are_as_each_alone(classifier, picture):
    pictures = [picture, picture.rotate(90, expand=True), np.zeros((50, 50), np.uint8)]
    together = classifier.predict_many(iter(pictures))
    for prediction, one in zip(together, pictures, strict=True):
        alone = classifier.predict(one)
        assert prediction.label == alone.label
        assert prediction.probability == pytest.approx(alone.probability, abs=1e-5)
        assert [doubt.name for doubt in prediction.doubts] == [doubt.name for doubt in alone.doubts]
    assert classifier.predict_many([]) == []


def test_a_stream_goes_on_after_a_bad_picture_and_keeps_the_order(classifier, picture, tmp_path):
    path = tmp_path / "good.png"
    picture.save(path)
    bad = tmp_path / "bad.png"
    bad.write_bytes(path.read_bytes()[:60])
    blank = np.full((60, 60), 200, np.uint8)
    some = [path, bad, blank, b"", picture, tmp_path / "none.png", blank, str(path)]
    unreadable, empty = (1, 3, 5), (2, 6)
    pictures = some * 20  # more than two chunks
    assert len(pictures) > 2 * CHUNK
    outcomes = list(classifier.stream(pictures))
    assert len(outcomes) == len(pictures)
    expected = classifier.predict(path)
    for number, outcome in enumerate(outcomes):
        if number % len(some) in unreadable:
            assert isinstance(outcome, PictureError)
        elif number % len(some) in empty:
            assert [doubt.name for doubt in outcome.doubts] == ["nothing-there"]
        else:
            assert outcome.label == expected.label
            assert outcome.probability == pytest.approx(expected.probability, abs=1e-5)
    assert "bad.png" in str(outcomes[1])
    assert list(classifier.stream([])) == []
    with pytest.raises(PictureError, match=r"bad\.png"):
        classifier.predict_many(some)
    returned = classifier.predict_many(some, errors="return")
    assert [isinstance(outcome, PictureError) for outcome in returned] == [
        number in unreadable for number in range(len(some))
    ]
    with pytest.raises(InputError, match="errors must be raise or return, got 'ignore'"):
        classifier.predict_many(some, errors="ignore")


def test_processes_read_what_threads_read(classifier, picture, tmp_path):
    path = tmp_path / "good.png"
    picture.save(path)
    some = [path, tmp_path / "none.png", path.read_bytes(), np.asarray(picture), b""] * 20
    expected = list(classifier.stream(some))
    for found, outcome in zip(classifier.stream(some, processes=2), expected, strict=True):
        assert str(found) == str(outcome)


def test_a_stream_takes_no_more_than_it_needs(classifier):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield np.full((60, 60), 200, np.uint8)

    stream = classifier.stream(endless())
    assert taken == []
    for _ in range(CHUNK):
        next(stream)
    assert len(taken) == CHUNK
    next(stream)
    assert len(taken) == 2 * CHUNK
    stream.close()


def test_an_open_file_is_not_read_by_two_threads(classifier, picture, tmp_path):
    """Pillow reads it at the first need; two threads at once would read half a picture each."""
    picture.save(tmp_path / "seven.png")
    expected = classifier.predict(picture)
    with Image.open(tmp_path / "seven.png") as opened:
        outcomes = list(classifier.stream([opened] * CHUNK))
    assert {outcome.label for outcome in outcomes} == {expected.label}


def test_ink_is_taken_as_it_is(classifier):
    ink = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    ink.setflags(write=False)
    images = torch.from_numpy(classifier.checkpoint.preprocessing.apply(ink))
    with torch.no_grad():
        expected = classifier.checkpoint.network(images).softmax(1)
    for prediction, row in zip(classifier.predict_ink(ink), expected, strict=True):
        assert prediction.label == str(int(row.argmax()))
        assert prediction.probability == pytest.approx(float(row.max()), abs=1e-5)
    assert classifier.predict_ink(ink[:0]) == []


@pytest.mark.parametrize("ink", [np.zeros((28, 28), np.uint8), np.zeros((2, 28, 28), np.float32)])
def test_ink_of_another_shape_or_type_is_refused(classifier, ink):
    with pytest.raises(ShapeError, match=r"must be \(N, 28, 28\) uint8"):
        classifier.predict_ink(ink)


def test_a_low_probability_is_a_doubt(picture):
    unsure = Classifier(checkpoint(weight=0.0)).predict(picture)
    assert unsure.probability == pytest.approx(0.1)
    assert [doubt.name for doubt in unsure.doubts] == ["low-probability"]
    assert unsure.doubts[0].sentence == "It could as well be 1: 10% against 10%."
    sure = Classifier(checkpoint(weight=1000.0)).predict(picture)
    assert sure.probability > UNSURE
    assert sure.doubts == ()


def test_what_is_unknown_is_doubted(picture):
    strange = Classifier(checkpoint(trust=believing(0.3))).predict(picture)
    assert strange.known == pytest.approx(0.3)
    assert [doubt.name for doubt in strange.doubts] == ["unknown"]
    familiar = Classifier(checkpoint(trust=believing(0.9))).predict(picture)
    assert familiar.known == pytest.approx(0.9)
    assert familiar.doubts == ()
    assert Classifier(checkpoint()).predict(picture).known is None


def test_every_way_to_ask_gives_the_same_belief(picture):
    weight = np.linspace(-0.01, 0.01, N_FEATURES).astype(np.float32)
    reader = Classifier(checkpoint(trust=believing(weight=weight, temperature=3.0)))
    explanation = reader.explain(picture)
    one, (among_many,) = reader.predict(picture), reader.predict_many([picture])
    (of_ink,) = reader.predict_ink(explanation.ink.ink[None])
    for other in (explanation.prediction, among_many, of_ink):
        assert other.known == pytest.approx(one.known, abs=1e-6)
        assert other.probability == pytest.approx(one.probability, abs=1e-6)
    layers = [explanation.activations[name].ravel() for name in ("s4", "c5", "f6")]
    odds = np.concatenate(layers) @ weight + np.log(9)
    assert one.known == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-5)


def test_a_temperature_moves_the_probability_and_not_the_label(picture):
    plain = Classifier(checkpoint(weight=20.0)).predict(picture)
    cool = Classifier(checkpoint(weight=20.0, trust=believing(temperature=4.0))).predict(picture)
    same = Classifier(checkpoint(weight=5.0)).predict(picture)
    assert cool.label == plain.label
    assert cool.probability == pytest.approx(same.probability, abs=1e-5)
    assert cool.probability < plain.probability


@pytest.mark.parametrize(("known", "probability"), [(0.9, 0.5), (0.3, 1.0)])
def test_an_answer_that_is_not_sure_enough_is_rejected(picture, known, probability):
    weight = 1000.0 if probability == 1 else 1.0
    weights = checkpoint(weight=weight, trust=believing(known))
    answered = Classifier(weights).predict(picture)
    rejected = Classifier(weights, reject=0.05).predict(picture)
    assert rejected.label is None
    assert rejected.top == answered.top
    assert rejected.doubts[-1].name == "rejected"
    assert f"Rejected: {answered.label} has " in rejected.doubts[-1].sentence
    assert Classifier(weights, reject=0.2).predict(picture).label == answered.label


def test_what_is_sure_and_known_is_not_rejected(picture):
    weights = checkpoint(weight=1000.0, trust=believing(0.9))
    assert Classifier(weights, reject=0.05).predict(picture).label is not None


def test_a_promise_that_cannot_be_made_is_refused():
    with pytest.raises(InputError, match="validation part"):
        Classifier(checkpoint(), reject=0.01)
    with pytest.raises(InputError, match=r"0\.0100 at best"):
        Classifier(checkpoint(trust=believing()), reject=0.001)


def test_where_nothing_is_found_nothing_is_named(classifier):
    prediction = classifier.predict(np.full((60, 60), 200, np.uint8))
    assert (prediction.label, prediction.probability, prediction.top) == (None, 0, ())
    assert [doubt.name for doubt in prediction.doubts] == ["nothing-there"]


@pytest.mark.parametrize("name", NETWORKS)
def test_an_explanation_shows_every_layer(name, picture):
    classifier = Classifier(checkpoint(name))
    told = classifier.explain(picture)
    assert told.grey.shape == (160, 120)
    assert told.ink.ink.shape == (28, 28)
    assert tuple(told.activations) == LAYERS
    assert told.activations["c1"].shape == (6, 28, 28)
    assert told.activations["c3"].shape == (16, 10, 10)
    assert told.activations["f6"].size == 84
    assert told.probabilities.sum() == pytest.approx(1)
    assert told.class_names[told.probabilities.argmax()] == told.prediction.label
    assert told.prediction == classifier.predict(picture)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_every_engine_gives_the_same_prediction(engine, picture):
    told = Classifier(checkpoint(), engine=engine, device="cpu").predict(picture)
    expected = Classifier(checkpoint()).predict(picture)
    assert told.label == expected.label
    assert told.probability == pytest.approx(expected.probability, abs=1e-5)


def test_an_explanation_runs_the_network_once(classifier, picture, monkeypatch):
    monkeypatch.setattr(type(classifier.engine), "scores", pytest.fail)
    told = classifier.explain(picture, top=10)
    scores = torch.from_numpy(told.activations["output"])
    np.testing.assert_allclose(told.probabilities, scores.softmax(0).numpy(), rtol=1e-5)


def test_the_checkpoint_decides_how_a_picture_is_prepared(picture):
    inks = set()
    for preparation in ("digit", "garment", "plain"):
        weights = checkpoint(preparation=preparation)
        told = Classifier(weights).explain(picture)
        inks.add(told.ink.ink.tobytes())
    assert len(inks) == 3


def test_class_names_come_from_the_checkpoint(picture):
    classifier = Classifier(checkpoint(class_names=("cat", "dog")))
    prediction = classifier.predict(picture)
    assert {label for label, _ in prediction.top} == {"cat", "dog"}


def test_weights_load_from_a_file(picture, tmp_path):
    path = tmp_path / "mine.safetensors"
    saved = checkpoint()
    save_checkpoint(path, saved)
    loaded = Classifier.load(path)
    expected = Classifier(saved).predict(picture)
    assert loaded.predict(picture) == expected
    with pytest.raises(CheckpointError, match="nowhere"):
        Classifier.load("nowhere")


def test_mistakes_say_what_is_wrong(classifier, picture, tmp_path):
    with pytest.raises(PictureError, match="no such file"):
        classifier.predict(tmp_path / "missing.png")
    with pytest.raises(InputError, match="top must be at least 1"):
        classifier.predict(picture, top=0)
    with pytest.raises(InputError, match="top must be at least 1"):
        classifier.stream([], top=0)


# Photographs --------------------------------------------------------------------------------------


def test_photographs_are_drawn_the_same_twice(mnist):
    images, labels = mnist.train.images[:50], mnist.train.labels[:50]
    first, second = (list(photographs.photographs(images, labels, 8, seed=3)) for _ in "ab")
    assert first == second
    assert len({photo.jpeg for photo in first}) == 8
    assert list(photographs.photographs(images, labels, 8, seed=4)) != first
    for photo in first:
        assert Image.open(io.BytesIO(photo.jpeg)).size == photo.size[::-1]
        assert 60 <= min(photo.size) <= max(photo.size) <= 2000


@pytest.mark.slow
def test_photographs_are_read(mnist):
    if "mnist" not in pretrained_weights():
        pytest.skip("lenet comes without weights for mnist")
    count = int(os.environ.get("LENET_PHOTOGRAPHS", "150"))
    photos = photographs.photographs(mnist.test.images, mnist.test.labels, count, seed=2)
    result = photographs.examine(Classifier.load("mnist"), photos)
    assert result["n"] == count
    assert result["n_right"] == result["n_right_opened_images"]
    assert result["accuracy"] >= 0.96
    # Without the preparation the same network is of little use: it is the pictures that matter.
    assert result["accuracy_without_preparation"] < 0.5


class TestEvaluate:
    @pytest.fixture
    def splits(self):
        return load_dataset("digits")

    def test_it_is_the_evaluation_of_its_scores(self, classifier, splits):
        for part in ("test", "validation"):
            images = splits.part(part)
            found = classifier.evaluate(splits, part)
            said = evaluate(classifier.scores(images.images), images.labels, DIGITS)
            assert np.array_equal(found.confusion, said.confusion)
            assert found.loss == said.loss

    def test_a_name_will_do(self, classifier, splits):
        found = classifier.evaluate("digits")
        assert np.array_equal(found.confusion, classifier.evaluate(splits).confusion)

    def test_a_folders_pictures_are_prepared_as_the_weights_own(self, tmp_path):
        for digit in "01":
            (tmp_path / digit).mkdir()
            for i in range(12):
                picture = Image.new("L", (60, 40), 240 + i)
                picture.paste(i, (10, 8, 14 + 20 * int(digit), 30))
                picture.save(tmp_path / digit / f"{i}.png")
        for preparation in ("digit", "plain"):
            one = Classifier(checkpoint(preparation=preparation, class_names=("0", "1")))
            loaded = one.load_data(tmp_path)
            assert loaded.preparation == preparation
            assert one.evaluate(tmp_path).n_images == len(loaded.test)

    def test_what_cannot_be_measured_is_refused(self, classifier, splits):
        with pytest.raises(InputError, match="no validation images"):
            classifier.evaluate(load_dataset("digits", validation=0), "validation")
        with pytest.raises(InputError, match=r"tell 0, 1, .* apart, digits has the classes a, b"):
            classifier.evaluate(dataclasses.replace(splits, class_names=tuple("abcdefghij")))
