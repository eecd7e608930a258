"""A folder of pictures is a data set, or one clear error."""

import numpy as np
import pytest
from PIL import Image

from lenet.data import folders
from lenet.data.datasets import load_dataset
from lenet.errors import DataError

RNG = np.random.default_rng(0)


def as_set(split):
    return {image.tobytes() for image in split.images}


def draw(path, level, size=(40, 30)) -> None:
    """A picture of random marks: dark on light, never the same twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full(size, 255, np.uint8)
    picture[5:25, 5:25] = RNG.integers(0, level, (20, 20))
    Image.fromarray(picture).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 pictures of nuts, 20 of bolts, 10 of 10 mm washers."""
    root = tmp_path_factory.mktemp("pictures") / "parts"
    for name, count in (("nut", 30), ("bolt", 20), ("10 mm Unterlegscheibe ß", 10)):
        for i in range(count):
            draw(root / name / f"{i}.png", 100, size=(30 + i, 60 - i))
    (root / "notes.txt").write_text("files beside the class folders do no harm")
    (root / "nut" / ".DS_Store").write_bytes(b"\0")
    (root / "nut" / "Thumbs.db").write_bytes(b"\0")
    (root / ".git").mkdir()
    return root


def test_a_folder_of_classes_is_a_data_set(folder):
    splits = load_dataset(folder)
    assert splits.name == "parts"
    assert splits.class_names == ("10 mm Unterlegscheibe ß", "bolt", "nut")
    assert splits.preparation == "plain"
    assert np.bincount(splits.test.labels).tolist() == [2, 4, 6]
    assert np.bincount(splits.validation.labels).tolist() == [1, 2, 2]
    assert np.bincount(splits.train.labels).tolist() == [7, 14, 22]
    parts = [as_set(splits.part(name)) for name in ("train", "validation", "test")]
    assert len(set.union(*parts)) == 60 == sum(map(len, parts))


def test_a_folder_loads_the_same_by_text_and_from_anywhere(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert load_dataset("parts").sha256 == load_dataset(folder).sha256
    monkeypatch.chdir(folder)
    assert load_dataset(".").name == "parts"


def test_colour_grey_and_formats_are_read(tmp_path):
    for i, mode in enumerate(["L", "RGB", "RGBA", "P", "1", "CMYK"]):
        for name in ("a", "b"):
            draw(tmp_path / name / f"{i}.png", 100)
            picture = Image.open(tmp_path / name / f"{i}.png").convert(mode)
            suffix = "tif" if mode == "CMYK" else "png"
            picture.save(tmp_path / name / f"{i}-{mode}.{suffix}")
    assert len(load_dataset(tmp_path).train) + 2 + 5 == 24


@pytest.mark.parametrize("validation", ["validation", "val", None])
def test_a_folder_may_bring_its_own_parts(tmp_path, validation):
    for part, count in (("train", 8), (validation, 3), ("test", 2)):
        for name in ("ham", "spam"):
            for i in range(count if part else 0):
                draw(tmp_path / part / name / f"{i}.png", 100)
    splits = load_dataset(tmp_path)
    assert splits.class_names == ("ham", "spam")
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    if validation:
        assert len(splits.train) == 16
        assert splits.validation.labels.tolist() == [0, 0, 0, 1, 1, 1]
        with pytest.raises(DataError, match="its own validation part"):
            load_dataset(tmp_path, validation=0.5)
    else:
        assert len(splits.train) + len(splits.validation) == 16
        assert len(splits.validation) == 2


def test_toy_trains_are_a_class(tmp_path):
    for name in ("train", "plane"):
        for i in range(5):
            draw(tmp_path / name / f"{i}.png", 100)
    assert load_dataset(tmp_path).class_names == ("plane", "train")


def break_one_class(root):
    for path in (root / "b").iterdir():
        path.unlink()
    (root / "b").rmdir()


def break_empty_class(root):
    (root / "c").mkdir()


def break_text_in_class(root):
    (root / "a" / "labels.csv").write_text("a,b")


def break_truncated_picture(root):
    content = (root / "a" / "0.png").read_bytes()
    (root / "a" / "0.png").write_bytes(content[: len(content) // 2])


def break_nested_folder(root):
    (root / "a" / "more").mkdir()


def break_name(root):
    (root / "a").rename(root / "a\x1b[31m\n")


def break_no_classes(root):
    break_one_class(root)
    (root / "a").rename(root.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_one_class, "1 class folders; 2 to 1000"),
        (break_no_classes, "0 class folders; 2 to 1000"),
        (break_empty_class, r"class folder .*c is empty"),
        (break_text_in_class, r"labels\.csv"),
        (break_truncated_picture, r"0\.png"),
        (break_nested_folder, r"more is not a picture file"),
        (break_name, r"rename the class folder 'a\\x1b\[31m\\n'"),
    ],
)
def test_broken_folders_say_what_is_wrong(tmp_path, damage, message):
    root = tmp_path / "broken"
    for name in ("a", "b"):
        for i in range(4):
            draw(root / name / f"{i}.png", 100)
    damage(root)
    with pytest.raises(DataError, match=message) as failure:
        load_dataset(root)
    assert "\n" not in str(failure.value)


def test_a_class_only_in_the_test_part_is_refused(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/c"):
        draw(tmp_path / name / "1.png", 100)
    with pytest.raises(DataError, match="c is no class of the train folder"):
        load_dataset(tmp_path)


def test_absurd_counts_are_refused_before_a_picture_is_read(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for i in range(5):
            (tmp_path / name / f"{i}.png").write_bytes(b"not a picture")
    monkeypatch.setattr(folders, "MAX_CLASSES", 2)
    with pytest.raises(DataError, match="3 class folders; 2 to 2"):
        load_dataset(tmp_path)
    monkeypatch.undo()
    for limit in (4, 14):
        monkeypatch.setattr(folders, "MAX_PICTURES", limit)
        with pytest.raises(DataError, match=f"more than {limit} files; none was read"):
            load_dataset(tmp_path)


def test_too_few_pictures_to_hold_any_out_are_refused(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / name / "only.png", 100)
    with pytest.raises(DataError, match="too small to hold out"):
        load_dataset(tmp_path)
