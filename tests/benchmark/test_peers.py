"""What is raced is the real thing: our step and the article's pipeline against plain torch."""

import numpy as np
import pytest
import torch
from PIL import Image

from lenet.benchmark.peers import OUR_STEPS, ArticleImages
from lenet.benchmark.results import Contest
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.networks import build_network


def some_images(n):
    random = np.random.default_rng(0)
    return Split(random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n))


@pytest.mark.parametrize("who", OUR_STEPS)
def test_our_step_is_the_plain_torch_step(who):
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


def test_the_articles_pipeline_resizes_and_scales():
    data = some_images(1)
    image, label = ArticleImages(data)[0]
    expected = np.asarray(
        Image.fromarray(data.images[0]).resize((32, 32), Image.Resampling.BILINEAR)
    )
    assert image.shape == (1, 32, 32)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), expected.astype(np.float32) / 255)
    assert label == data.labels[0]
