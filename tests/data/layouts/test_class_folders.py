"""A folder of pictures is a data set, or one clear error."""

import numpy as np
import pytest
from PIL import Image

from lenet.data.datasets import load_dataset
from lenet.data.layouts import class_folders, listing, source
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
    (root / "nut" / "labels.csv").write_text("neither do other files in them")
    for name in ("nut", "bolt"):
        (root / name / ".DS_Store").write_bytes(b"\0")
    (root / "nut" / "thumbs.DB").write_bytes(b"\0")
    (root / ".git").mkdir()
    draw(root / "__MACOSX" / "nut" / "._1.png", 100)
    return root


def test_a_folder_of_classes_is_a_data_set(folder):
    splits = load_dataset(folder)
    assert splits.name == "parts"
    assert splits.class_names == ("10 mm Unterlegscheibe ß", "bolt", "nut")
    assert np.bincount(splits.test.labels).tolist() == [2, 4, 6]
    assert np.bincount(splits.validation.labels).tolist() == [1, 2, 2]
    assert np.bincount(splits.train.labels).tolist() == [7, 14, 22]
    parts = [as_set(splits.part(name)) for name in ("train", "validation", "test")]
    assert len(set.union(*parts)) == 60 == sum(map(len, parts))
    passed = (
        "7 files that are no picture were passed over: "
        ".DS_Store (2), notes.txt, .git, __MACOSX, labels.csv and 1 more."
    )
    assert splits.remarks[0] == passed


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


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "validation", "test"),
        ("Train", "val", "Test"),
        ("train", "valid", "test"),
        ("training", "validation", "testing"),
        ("TRAINING", None, "TESTING"),
        ("train", None, "test"),
    ],
)
def test_a_folder_may_bring_its_own_parts(tmp_path, train, validation, test):
    for part, count in ((train, 8), (validation, 3), (test, 2)):
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


def test_two_folders_for_one_part_are_refused(tmp_path):
    for part in ("train", "val", "valid"):
        for name in ("ham", "spam"):
            draw(tmp_path / part / name / "1.png", 100)
    with pytest.raises(DataError, match="has both val and valid; keep one"):
        load_dataset(tmp_path)


def test_a_test_part_without_classes_is_passed_over(tmp_path):
    for name in ("train/a", "train/b"):
        for i in range(6):
            draw(tmp_path / name / f"{i}.png", 100)
    draw(tmp_path / "test" / "1.png", 100)
    splits = load_dataset(tmp_path)
    assert len(splits.test) == 2  # a fifth of the twelve
    assert "test holds pictures without class folders and was passed over." in splits.remarks


def test_a_folder_too_high_is_followed_down_and_said_so(tmp_path):
    inner = tmp_path / "archive" / "parts"
    for name in ("a", "b"):
        for i in range(6):
            draw(inner / name / f"{i}.png", 100)
    (tmp_path / "archive" / "README.txt").write_text("from an archive")
    splits = load_dataset(tmp_path)
    assert splits.class_names == ("a", "b")
    assert splits.remarks[0] == f"Read was {inner}, the only folder in {tmp_path}."
    assert splits.sha256 == load_dataset(inner).sha256


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


def break_text_only(root):
    for path in (root / "a").iterdir():
        path.rename(path.with_suffix(".txt"))


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
        (break_one_class, "broken has 1 class; 2 to 1000"),
        (
            break_no_classes,
            "a kind that is read: one subfolder of pictures per class",
        ),
        (break_empty_class, r"class folder .*c is empty of pictures"),
        (break_text_only, r"class folder .*a is empty of pictures"),
        (break_truncated_picture, r"0\.png"),
        (break_nested_folder, r"more is a folder inside a class folder; .* train, validation and"),
        (break_name, r"rename the class 'a\\x1b\[31m\\n'"),
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
    monkeypatch.setattr(source, "MAX_CLASSES", 2)
    with pytest.raises(DataError, match="3 classes; 2 to 2"):
        load_dataset(tmp_path)
    monkeypatch.undo()
    for limit in (4, 14):
        for module in (listing, class_folders):
            monkeypatch.setattr(module, "MAX_PICTURES", limit)
        with pytest.raises(DataError, match=f"more than {limit} files; none was read"):
            load_dataset(tmp_path)


def test_too_few_pictures_to_hold_any_out_are_refused(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / name / "only.png", 100)
    with pytest.raises(DataError, match="too small to hold out"):
        load_dataset(tmp_path)


def damage(folder, n):
    """Cut `n` pictures of the class `a` short; returns the files."""
    files = sorted((folder / "a").iterdir())[:n]
    for file in files:
        file.write_bytes(file.read_bytes()[:60])
    return files


def test_damaged_pictures_are_named_all_at_once(tmp_path):
    for name in ("a", "b"):
        for i in range(20):
            draw(tmp_path / name / f"{i:02}.png", 100)
    files = damage(tmp_path, 12)
    with pytest.raises(DataError, match="12 of 40 pictures cannot be read") as failure:
        load_dataset(tmp_path)
    message = str(failure.value)
    assert all(str(file) in message for file in files[:10])
    assert str(files[10]) not in message
    assert "; and 2 more; remove them, or leave them out with --skip-damaged" in message
    assert "\n" not in message


def test_damaged_pictures_can_be_left_out_and_never_move_the_test_part(tmp_path):
    for name in ("a", "b"):
        for i in range(20):
            draw(tmp_path / name / f"{i:02}.png", 100)
    whole = load_dataset(tmp_path, preparation="plain")
    files = damage(tmp_path, 3)
    rest = load_dataset(tmp_path, preparation="plain", skip_damaged=True)
    assert sum(len(rest.part(name)) for name in ("train", "validation", "test")) == 37
    assert as_set(rest.test) <= as_set(whole.test)
    remark, *_ = rest.remarks  # the test part is small, too
    assert remark.startswith("3 of 40 pictures cannot be read and were left out: ")
    assert all(str(file) in remark for file in files)
    damage(tmp_path, 20)
    with pytest.raises(DataError, match="no picture of 'a' can be read"):
        load_dataset(tmp_path, skip_damaged=True)
