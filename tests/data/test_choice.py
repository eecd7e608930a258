"""Pictures are cropped to their object where that is safe and helps, and otherwise left whole."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drawn_folders import KINDS, draw_picture
from lenet.data.choice import choose_preparation
from lenet.data.datasets import load_dataset
from lenet.data.layouts.source import Part


def drawn(kind, count=20):
    names = list(KINDS[kind][0])
    pictures = [
        np.array(draw_picture(kind, name, 0, i, longest=300))
        for name in names
        for i in range(count)
    ]
    whole = np.empty(len(pictures), object)
    whole[:] = pictures
    return Part(whole, np.repeat(np.arange(len(names)), count))


def choose(part):
    return choose_preparation(part, np.arange(len(part)))


@pytest.mark.parametrize("kind", KINDS)
def test_objects_on_paper_are_cropped(kind):
    part = drawn(kind)
    choice = choose(part)
    assert choice.preparation in ("garment", "digit")
    n = len(part)
    assert f"in {n} of {n} pictures, and a quick comparison names " in choice.reason


def test_a_choice_is_the_same_again_and_looks_only_where_it_may():
    part = drawn("letters", 10)
    allowed = np.arange(0, len(part), 2)
    choice = choose_preparation(part, allowed)
    changed = part.pictures.copy()
    for i in range(1, len(part), 2):
        changed[i] = np.zeros((5, 5), np.uint8)
    assert choose_preparation(Part(changed, part.labels), allowed) == choice


def test_textures_stay_whole():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]

    def texture(label):
        period, angle = rng.uniform(8, 20), rng.uniform(0, np.pi)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        wave = np.sin(2 * np.pi * along / period)
        if label == 1:
            wave = wave * np.sin(2 * np.pi * across / period)
        if label == 2:
            wave = ndimage.gaussian_filter(rng.standard_normal(x.shape), period / 5)
        return np.clip(128 + 50 * wave / wave.std(), 0, 255).astype(np.uint8)

    labels = np.repeat(np.arange(3), 20)
    choice = choose(Part(np.stack([texture(label) for label in labels]), labels))
    assert choice.preparation == "plain"
    assert "one object that stands out was found in only" in choice.reason


def test_images_that_are_ink_stay_as_they_are(tmp_path):
    digits = load_dataset("digits")
    for name in ("0", "1", "2"):
        (tmp_path / name).mkdir()
        for i in np.flatnonzero(digits.train.labels == int(name))[:30]:
            Image.fromarray(digits.train.images[i]).save(tmp_path / name / f"{i}.png")
    splits = load_dataset(tmp_path)
    assert splits.preparation == "plain"
    assert splits.remarks == ("The whole picture is used, for objects fill it already.",)
    known = {image.tobytes() for image in digits.train.images}
    assert all(image.tobytes() in known for image in splits.train.images)


def test_where_an_object_is_may_be_what_tells_the_classes_apart():
    pictures = np.full((60, 100, 100), 255, np.uint8)
    labels = np.repeat(np.arange(2), 30)
    for i, label in enumerate(labels):
        top, left = 10 + i % 30, 10 + 60 * label
        pictures[i, top : top + 20, left : left + 20] = 40
    choice = choose(Part(pictures, labels))
    assert choice.preparation == "plain"
    assert "a quick comparison names 60 of 60 right, and" in choice.reason
