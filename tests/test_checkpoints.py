"""Weight files: what is written comes back, and nothing else is taken for weights."""

import io
import json
import os
import pickle
import re
import struct
import zipfile
from importlib import resources

import numpy as np
import pytest
import torch
from safetensors.torch import save

from lenet import checkpoints, packing
from lenet.checkpoints import (
    Checkpoint,
    load_checkpoint,
    pretrained_weights,
    save_checkpoint,
)
from lenet.data.preprocessing import Preprocessing
from lenet.errors import CheckpointError, InputError
from lenet.networks import build_network
from lenet.packing import MAX_BYTES
from lenet.trust import N_FEATURES, Trust

NAMES = tuple("0123456789")


def checkpoint(**metadata) -> Checkpoint:
    return Checkpoint(build_network("modern"), Preprocessing("digit", 3.0, -0.4), NAMES, metadata)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def about(path) -> dict:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["lenet"])


def rewrite(path, change_metadata=None, change_tensors=None) -> None:
    """Write a good file with something changed."""
    good = checkpoint()
    save_checkpoint(path, good)
    metadata, tensors = about(path), dict(good.network.state_dict())
    if change_metadata:
        change_metadata(metadata)
    if change_tensors:
        change_tensors(tensors)
    path.write_bytes(save(tensors, metadata={"lenet": json.dumps(metadata)}))


def refused(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_file_carries_the_preprocessing_and_where_the_weights_come_from(path):
    """Others forgot it: predictions then used another preprocessing than training."""
    metadata = {
        "recipe": {"name": "digit"},
        "seed": 3,
        "data": {"name": "mnist", "sha256": "ab"},
        "versions": {"torch": "2"},
        "metrics": {"test_accuracy": 0.99},
    }
    save_checkpoint(path, checkpoint(**metadata))
    loaded = load_checkpoint(path)
    assert loaded.preprocessing == Preprocessing("digit", 3.0, -0.4)
    assert loaded.metadata == metadata
    assert loaded.class_names == NAMES


def test_the_same_checkpoint_gives_the_same_bytes(path):
    one = checkpoint(seed=1, metrics={"b": 1, "a": 2})
    save_checkpoint(path, one)
    first = path.read_bytes()
    save_checkpoint(path, one)
    assert path.read_bytes() == first


def test_a_run_folder_stands_for_its_best_weights(path):
    save_checkpoint(path, checkpoint())
    assert load_checkpoint(path.parent).class_names == NAMES
    assert "just begun" in refused(path.parent / "..")


def test_class_names_in_any_script(path):
    names = tuple("零一二三四五六七八九")
    save_checkpoint(path, Checkpoint(build_network("modern"), Preprocessing("plain"), names))
    assert load_checkpoint(path).class_names == names


@pytest.mark.parametrize(
    "names", [NAMES[:9], (*NAMES[:9], "0"), (*NAMES[:9], ""), (*NAMES[:9], "\x1b[2J")]
)
def test_class_names_that_do_not_fit_are_refused(names):
    with pytest.raises(CheckpointError):
        Checkpoint(build_network("modern"), Preprocessing("digit"), names)


def test_weights_that_are_not_finite_are_not_kept():
    network = build_network("modern")
    with torch.no_grad():
        network.c3.bias[2] = float("nan")
    with pytest.raises(InputError, match=r"c3\.bias holds NaN"):
        Checkpoint(network, Preprocessing("digit"), NAMES)


def test_a_checkpoint_keeps_the_weights_as_they_were():
    network = build_network("tutorial")
    kept = Checkpoint(network, Preprocessing("digit"), NAMES)
    before = network.c1.bias.detach().clone()
    with torch.no_grad():
        network.c1.bias.add_(1)
    assert torch.equal(kept.network.c1.bias, before)


def test_building_the_network_leaves_the_generator_alone():
    kept = checkpoint()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        assert isinstance(kept.network, torch.nn.Module)
        assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", pretrained_weights())
def test_pretrained_weights_are_written_as_they_were(path, name):
    save_checkpoint(path, load_checkpoint(name))
    file = resources.files("lenet.weights").joinpath(f"{name}.safetensors")
    assert path.read_bytes() == file.read_bytes()


def test_metadata_that_is_not_json_is_not_written(path):
    with pytest.raises(CheckpointError, match="JSON"):
        save_checkpoint(path, checkpoint(metrics={"loss": float("nan")}))
    with pytest.raises(CheckpointError, match="unknown metadata 'colour'"):
        checkpoint(colour="red")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.pop("preprocessing"), "preprocessing"),
        (lambda m: m.update(colour="red"), "colour"),
        (lambda m: m.update(format=99), "99"),
        (lambda m: m.update(network="lenet6"), "lenet6"),
        (lambda m: m.update(network=["modern"]), "name"),
        (lambda m: m["options"].update(colour="red"), "colour"),
        (lambda m: m["options"].update(dropout="much"), "dropout"),
        (lambda m: m["options"].update(dropout=7), "dropout"),
        (lambda m: m["options"].update(batch_norm="yes"), "batch_norm"),
        (lambda m: m["options"].update(activation=[]), "activation"),
        (lambda m: m.update(options=None), "options"),
        (lambda m: m.update(num_classes=10**12), "output"),
        (lambda m: m.update(num_classes=-1), "num_classes"),
        (lambda m: m.update(num_classes=True), "num_classes"),
        (lambda m: m.update(class_names=["a"]), "names"),
        (lambda m: m.update(class_names=7), "names"),
        (lambda m: m.update(class_names=[1] * 10), "names"),
        (lambda m: m["class_names"].__setitem__(0, "\x1b]0;owned\x07"), "printable"),
        (lambda m: m["preprocessing"].update(scale=float("nan")), "scale"),
        (lambda m: m["preprocessing"].update(scale="big"), "model.safetensors"),
        (lambda m: m["preprocessing"].update(preparation="soup"), "soup"),
        (lambda m: m["preprocessing"].update(colour="red"), "preprocessing"),
        (lambda m: m.update(preprocessing=[]), "preprocessing"),
    ],
)
def test_metadata_of_a_stranger_is_refused_by_name(path, change, named):
    rewrite(path, change_metadata=change)
    assert named in refused(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("f6.bias"), "f6.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra"),
        (lambda t: t.update({"c1.bias": torch.zeros(7)}), "c1.bias"),
        (lambda t: t.update({"c1.bias": torch.zeros(6, dtype=torch.float64)}), "float64"),
        (lambda t: t.update({"c1.bias": torch.full((6,), float("inf"))}), "infinity"),
        (lambda t: t.update({"c1.bias": torch.full((6,), float("nan"))}), "NaN"),
    ],
)
def test_wrong_keys_shapes_types_and_values_are_refused_by_name(path, change, named):
    rewrite(path, change_tensors=change)
    assert named in refused(path)


@pytest.mark.parametrize("name", ["lecun1998", "tutorial"])
def test_weights_of_another_network_are_refused(path, name):
    def become(metadata):
        metadata.update(network=name, options=build_network(name).options)

    rewrite(path, change_metadata=become)
    if name == "tutorial":  # the same keys and shapes: it is then what it says it is
        assert load_checkpoint(path).network.name == "tutorial"
    else:
        assert "s2.coefficient" in refused(path)


class Evil:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ""])
def test_a_renamed_pickle_is_refused_and_not_run(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(pickle.dumps(Evil()))
    refused(file)
    torch.save({"features.0.weight": Evil()}, file)
    refused(file)
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(build_network("tutorial"), tmp_path / "model.pth")
    assert "state_dict" in refused(tmp_path / "model.pth")


@pytest.mark.parametrize(
    "state",
    [
        [],
        {"features.0.weight": 3},
        {"features.0.weight": torch.zeros(1)},
        7,
    ],
)
def test_a_pth_that_is_not_the_articles_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "other.pth")
    refused(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("key", "tensor"),
    [
        ("classifier.4.weight", torch.tensor(1.0)),
        ("classifier.4.weight", torch.zeros(10)),
        ("classifier.4.weight", torch.zeros(0, 84)),
        ("features.0.weight", torch.zeros(6, 1, 5, 5, dtype=torch.int64)),
        ("features.0.weight", torch.full((6, 1, 5, 5), float("nan"))),
        ("features.0.weight", torch.zeros(1).expand(2**40)),
        ("features.0.weight", torch.zeros(6, 1, 5, 5).to_sparse()),
    ],
)
def test_an_articles_file_with_wrong_tensors_is_refused(tmp_path, key, tensor):
    from lenet.networks.tutorial import to_article

    state = {**to_article(build_network("tutorial").state_dict()), key: tensor}
    torch.save(state, tmp_path / "best_model.pth")
    refused(tmp_path / "best_model.pth")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(MAX_BYTES + 1))
    (tmp_path / "bomb.pth").write_bytes(bomb.getvalue())
    assert "unpacks" in refused(tmp_path / "bomb.pth")


def test_a_good_file_may_begin_like_a_pickle(path):
    """A safetensors file begins with its header's length; 0x480 is a pickle's first two bytes."""
    save_checkpoint(path, checkpoint())
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    target = 0x480 if length <= 0x480 else 0x10480
    header = data[8 : 8 + length] + b" " * (target - length)
    path.write_bytes(struct.pack("<Q", target) + header + data[8 + length :])
    assert path.read_bytes()[:2] == b"\x80\x04"
    assert load_checkpoint(path).class_names == NAMES


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        header(b"{}"),
        header(b"{}", 2**63),
        header(b"[" * 5000),
        header(b'{"__metadata__":{"lenet":"7"}}'),
        header(b'{"__metadata__":{"lenet":"' + b"[" * 100_000 + b'"}}'),
        header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        header(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}') + b"1234",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
)
def test_bytes_that_are_no_weight_file_are_refused(path, data):
    path.write_bytes(data)
    assert str(path) in refused(path)


def test_a_truncated_file_is_refused_wherever_it_ends(path):
    save_checkpoint(path, checkpoint())
    data = path.read_bytes()
    for length in (*range(0, 3000, 97), len(data) - 1):
        path.write_bytes(data[:length])
        refused(path)
    path.write_bytes(data + b"\0")
    refused(path)


def test_a_file_larger_than_any_lenet_is_refused_unread(path, monkeypatch):
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(packing, "load_arrays", pytest.fail)
    assert "bytes" in refused(path)


def test_what_does_not_exist_is_named_and_a_near_miss_suggested(tmp_path, monkeypatch):
    monkeypatch.setattr(
        checkpoints, "pretrained_weights", lambda: {"fashion-mnist": {}, "mnist": {}}
    )
    message = refused("fashion-mnits")
    assert "did you mean 'fashion-mnist'?" in message
    assert "did you mean" not in refused("/nowhere/at/all")


def test_all_pretrained_weights_load_and_have_a_card():
    for name, card in pretrained_weights().items():
        assert card
        loaded = load_checkpoint(name)
        assert loaded.network.num_classes == len(loaded.class_names)


def test_a_negative_variance_is_refused():
    network = build_network("modern", batch_norm=True)
    network.norm1.running_var[2] = -1
    with pytest.raises(InputError, match=r"norm1\.running_var holds a negative variance"):
        Checkpoint(network, Preprocessing("digit", 3.0, -0.4), NAMES)


@pytest.mark.parametrize("data", [None, [1], "mnist", {"name": []}, {"sha256": "0"}])
def test_metadata_may_not_say_which_data_it_was(data):
    assert checkpoint(data=data).data_name is None
    assert load_checkpoint("digits").data_name == "digits"


def believing() -> Trust:
    return Trust(
        temperature=1.5,
        weight=np.linspace(-1, 1, N_FEATURES).astype(np.float32),
        bias=-0.25,
        least_known=0.125,
        least_probability=0.75,
        rejection=np.array([[0, 0, 0.5], [0.5, 0.25, 0.125]], np.float32),
    )


def test_trust_comes_back(path):
    good = checkpoint()
    good.trust = believing()
    save_checkpoint(path, good)
    back = load_checkpoint(path).trust
    assert back.to_dict() == good.trust.to_dict()
    for name, array in good.trust.arrays().items():
        assert np.array_equal(back.arrays()[name], array)
    save_checkpoint(path, checkpoint())
    assert load_checkpoint(path).trust is None


@pytest.mark.parametrize(
    ("numbers", "arrays", "message"),
    [
        ({"bias": "0"}, {}, "must be numbers"),
        ({"bias": None}, {}, "must be numbers"),
        ({"more": 0.5}, {}, "trust needs temperature, bias"),
        ({"temperature": -1.0}, {}, "temperature from"),
        ({"temperature": 1e-320}, {}, "temperature from"),
        ({}, {"trust.more": torch.zeros(3)}, "trust needs weight and rejection"),
        ({}, {"trust.weight": torch.zeros(603)}, r"weight \(604,\)"),
        ({}, {"trust.weight": torch.zeros(604).double()}, "as float32"),
        ({}, {"trust.weight": torch.full((604,), torch.nan)}, "NaN"),
    ],
)
def test_trust_that_is_not_as_it_was_written_is_refused(path, numbers, arrays, message):
    tensors = {name: torch.from_numpy(array) for name, array in believing().arrays().items()}
    rewrite(
        path,
        lambda metadata: metadata.update(trust=believing().to_dict() | numbers),
        lambda weights: weights.update(tensors | arrays),
    )
    assert re.search(message, refused(path))


def test_arrays_of_trust_without_its_numbers_are_unknown_weights(path):
    tensors = {name: torch.from_numpy(array) for name, array in believing().arrays().items()}
    rewrite(path, None, lambda weights: weights.update(tensors))
    assert "trust.weight" in refused(path)
