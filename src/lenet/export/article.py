"""A tutorial network as the article's script saves it: a state dict of the article's names."""

import io

import torch

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import InputError, LenetError
from lenet.networks import LeNet, LeNet5
from lenet.networks.tutorial import Tutorial, to_article


def article_file(network: LeNet) -> bytes:
    """What `torch.save` writes of the article's class with a network's weights.

    Returns
    -------
    file : bytes
        Of a ``.pth``: `features.0.weight` … `classifier.4.bias`. Read back into the article's
        class, it gives the network's scores to the last bit.

    Raises
    ------
    InputError
        When the network is not the article's.
    LenetError
        When what was written gives other scores.
    """
    if type(network) is not Tutorial:
        raise InputError(
            f"only the tutorial network is the article's class; {network.name} has other layers"
        )
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(to_article(state), buffer)
    _check(buffer.getvalue(), network)
    return buffer.getvalue()


def _check(file: bytes, network: Tutorial) -> None:
    theirs = LeNet5(network.num_classes)
    theirs.load_state_dict(torch.load(io.BytesIO(file), weights_only=True))
    images = torch.rand(16, 1, PADDED_SIZE, PADDED_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if not torch.equal(theirs(images), network.cpu()(images)):
            raise LenetError("the article's class gives other scores with these weights")
