"""The article's class and ours are the same function, to the last bit, both ways."""

import pytest
import torch
from torch import nn

import lenet
from lenet.checkpoints import load_checkpoint
from lenet.errors import InputError
from lenet.export.article import article_file
from lenet.networks import build_network
from lenet.networks.shapes import match_layers
from lenet.networks.tutorial import to_article


class LeNet5(nn.Module):
    """The class as the article gives it."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120),
            nn.Sigmoid(),
            nn.Linear(120, 84),
            nn.Sigmoid(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


@pytest.fixture
def images():
    return torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_it_has_61706_parameters():
    assert sum(p.numel() for p in build_network("tutorial").parameters()) == 61_706
    assert sum(p.numel() for p in LeNet5().parameters()) == 61_706


@pytest.mark.parametrize("num_classes", [10, 3])
def test_a_file_of_the_articles_script_gives_the_same_logits(tmp_path, images, num_classes):
    theirs = LeNet5(num_classes).eval()
    torch.save(theirs.state_dict(), tmp_path / "best_model.pth")
    ours = load_checkpoint(tmp_path / "best_model.pth")
    with torch.no_grad():
        assert torch.equal(ours.network(images), theirs(images))
    assert len(ours.class_names) == num_classes


def test_its_weights_come_with_fashion_mnist_and_pixels_over_255(tmp_path):
    torch.save(LeNet5().state_dict(), tmp_path / "best_model.pth")
    checkpoint = load_checkpoint(tmp_path / "best_model.pth")
    assert checkpoint.class_names[0] == "T-shirt/top"
    assert checkpoint.preprocessing.to_dict() == {
        "preparation": "garment",
        "scale": 1.0,
        "offset": 0.0,
    }


def test_our_weights_load_into_the_articles_class(tmp_path, images):
    ours = build_network("tutorial").eval()
    (tmp_path / "ours.pth").write_bytes(article_file(ours))
    theirs = LeNet5().eval()
    state = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(theirs(images), ours(images))


def test_the_names_go_there_and_back():
    state = build_network("tutorial").state_dict()
    names = match_layers({name: tuple(t.shape) for name, t in to_article(state).items()})
    assert list(names) == list(state)
    assert all(
        torch.equal(to_article(state)[theirs], state[ours]) for ours, theirs in names.items()
    )


def test_the_class_to_import_is_the_articles(images):
    torch.manual_seed(3)
    theirs = LeNet5(num_classes=7)
    torch.manual_seed(3)
    ours = lenet.LeNet5(num_classes=7)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))
    assert [type(m) for m in ours.features] == [type(m) for m in theirs.features]
    assert [type(m) for m in ours.classifier] == [type(m) for m in theirs.classifier]


def test_no_other_network_is_written_in_its_layout():
    with pytest.raises(InputError, match="modern"):
        article_file(build_network("modern"))
