"""The Gauss–Newton diagonal against Jacobians by brute force, and against loops in NumPy."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from lenet.errors import InputError
from lenet.networks import build_network
from lenet.networks.initialization import initialize
from lenet.networks.sizes import TABLE_I
from lenet.training.curvature import DiagonalLevenbergMarquardt, estimate_curvature
from lenet.training.losses import build_loss, maximum_a_posteriori, mean_square

A, S = 1.7159, 2 / 3


def network(name: str = "lecun1998", seed: int = 0, **options):
    drawn = initialize(
        build_network(name, **options), "fan-in", torch.Generator().manual_seed(seed)
    )
    return drawn.double()


def patterns(n: int, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 32, 32, generator=generator, dtype=torch.float64) * 1.275 - 0.1
    return images, torch.randint(0, 10, (n,), generator=generator)


def exact(lenet, names, images, labels, criterion, layer):
    """diag Σ Jᵀ H J / N, J the Jacobian of `layer`'s outputs, H the criterion's Hessian there."""
    parameters = {name: lenet.get_parameter(name).detach() for name in names}
    diagonal = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for image, label in zip(images, labels, strict=True):

        def outputs(p, image=image):
            class Reader(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.lenet = lenet

                def forward(self, x):
                    return self.lenet.activations(x)[layer][0]

            return functional_call(Reader(), {f"lenet.{n}": v for n, v in p.items()}, image[None])

        at = outputs(parameters).detach()
        hessian = torch.autograd.functional.hessian(
            lambda x, label=label: criterion(x[None], label[None]), at
        )
        for name, jacobian in jacrev(outputs)(parameters).items():
            flat = jacobian.flatten(1)  # (outputs, weights)
            diagonal[name] += ((hessian @ flat) * flat).sum(0).view_as(diagonal[name])
    return {name: value / len(images) for name, value in diagonal.items()}


def test_exact_where_the_paper_leaves_nothing_out():
    # Under Eq. (8) the criterion does not couple F6's units, so neither F6 nor C5 has any
    # neglected term: their diagonal is the true one.
    lenet = network()
    images, labels = patterns(3)
    names = ["f6.weight", "f6.bias", "c5.weight", "c5.bias"]
    found = estimate_curvature(lenet, images, labels, mean_square)
    brute = exact(lenet, names, images, labels, lambda x, y: mean_square(lenet.output(x), y), "f6")
    for name in names:
        torch.testing.assert_close(found[name], brute[name])


def test_exact_in_the_last_layer_under_equation_9():
    lenet = network()
    images, labels = patterns(3)
    found = estimate_curvature(lenet, images, labels, maximum_a_posteriori)
    names = ["f6.weight", "f6.bias"]
    brute = exact(
        lenet, names, images, labels, lambda x, y: maximum_a_posteriori(lenet.output(x), y), "f6"
    )
    for name in names:
        torch.testing.assert_close(found[name], brute[name])


@pytest.mark.parametrize("name", ["tutorial", "modern"])
def test_exact_in_the_last_layer_of_the_other_networks(name):
    lenet = network(name)
    images, labels = patterns(3)
    loss = build_loss("cross-entropy")
    found = estimate_curvature(lenet, images, labels, loss)
    names = ["output.weight", "output.bias"]
    brute = exact(lenet, names, images, labels, loss, "output")
    for parameter in names:
        torch.testing.assert_close(found[parameter], brute[parameter])


@pytest.mark.parametrize("mode", ["added", "averaged"])
def test_the_whole_recursion_against_loops(mode):
    lenet = network(subsampling=mode)
    images, labels = patterns(2)
    with torch.no_grad():
        layers = [{k: v.numpy() for k, v in lenet.activations(i[None]).items()} for i in images]
    weights = {name: p.detach().numpy() for name, p in lenet.named_parameters()}
    total = {name: np.zeros_like(value) for name, value in weights.items()}
    fixed = 1.0 if mode == "added" else 0.25
    for image, values in zip(images.numpy(), layers, strict=True):
        a = {k: v[0] for k, v in values.items()}

        def slope(x):
            return (A * S * (1 - (x / A) ** 2)) ** 2  # f'² from the output

        h6 = 2 * slope(a["f6"])  # Eq. (8): ∂²E/∂x² = 2
        c5 = a["c5"].ravel()
        total["f6.weight"] += np.outer(h6, c5**2)
        total["f6.bias"] += h6
        h5 = slope(c5) * ((weights["f6.weight"] ** 2).T @ h6)
        total["c5.weight"] += h5[:, None, None, None] * a["s4"] ** 2
        total["c5.bias"] += h5
        h4 = slope(a["s4"]) * np.tensordot(h5, weights["c5.weight"] ** 2, 1)
        h3 = np.zeros((16, 10, 10))
        for m, i, j in np.ndindex(16, 10, 10):
            h = h4[m, i // 2, j // 2]
            total["s4.coefficient"][m] += h * (fixed * a["c3"][m, i, j]) ** 2
            u = fixed * weights["s4.coefficient"][m]
            h3[m, i, j] = slope(a["c3"][m, i, j]) * u**2 * h
        total["s4.bias"] += h4.sum((1, 2))
        hs = np.zeros((6, 14, 14))
        link = 0
        for m, row in enumerate(TABLE_I):
            for into in row:
                for i, j in np.ndindex(5, 5):
                    seen = a["s2"][into, i : i + 10, j : j + 10]
                    total["c3.weight"][link, i, j] += (h3[m] * seen**2).sum()
                    hs[into, i : i + 10, j : j + 10] += (
                        weights["c3.weight"][link, i, j] ** 2 * h3[m]
                    )
                link += 1
        total["c3.bias"] += h3.sum((1, 2))
        h2 = slope(a["s2"]) * hs
        h1 = np.zeros((6, 28, 28))
        for m, i, j in np.ndindex(6, 28, 28):
            h = h2[m, i // 2, j // 2]
            total["s2.coefficient"][m] += h * (fixed * a["c1"][m, i, j]) ** 2
            u = fixed * weights["s2.coefficient"][m]
            h1[m, i, j] = slope(a["c1"][m, i, j]) * u**2 * h
        total["s2.bias"] += h2.sum((1, 2))
        for m, i, j in np.ndindex(6, 5, 5):
            total["c1.weight"][m, 0, i, j] += (h1[m] * image[0, i : i + 28, j : j + 28] ** 2).sum()
        total["c1.bias"] += h1.sum((1, 2))
    found = estimate_curvature(lenet, images, labels, mean_square)
    assert set(found) == set(total)
    for name, expected in total.items():
        np.testing.assert_allclose(found[name].numpy(), expected / len(images), rtol=1e-9)


@pytest.mark.parametrize("kind", ["average", "max"])
def test_pooling_carries_squares(kind):
    # One hidden map wide enough to see: the C5 units' diagonal spreads over S4 and then C3.
    lenet = network("modern", pooling=kind)
    images, labels = patterns(2)
    loss = build_loss("cross-entropy")
    found = estimate_curvature(lenet, images, labels, loss)["c3.bias"]
    layers = lenet.activations(images)
    p = layers["output"].softmax(1).detach()
    h = p * (1 - p)
    for layer, x in (("output", "f6"), ("f6", "c5")):
        weight = getattr(lenet, layer).weight.detach()
        h = (h @ weight.square()) * (layers[x] > 0)
    h = (h @ lenet.c5.weight.detach().square()).view(2, 16, 5, 5)
    expected = torch.zeros(16, dtype=torch.float64)
    for n, m, i, j in np.ndindex(2, 16, 10, 10):
        window = layers["c3"][n, m, i // 2 * 2 : i // 2 * 2 + 2, j // 2 * 2 : j // 2 * 2 + 2]
        here = layers["c3"][n, m, i, j]
        share = 1 / 16 if kind == "average" else float(here == window.max())
        expected[m] += h[n, m, i // 2, j // 2] * share * (here > 0) / 2
    torch.testing.assert_close(found, expected)


def test_batch_norm_is_an_affine_layer():
    lenet = network("modern", batch_norm=True, activation="tanh", pooling="average")
    with torch.no_grad():
        lenet.norm3.running_mean.fill_(0.1)
        lenet.norm3.running_var.fill_(2.0)
        lenet.norm3.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(3))
    images, labels = patterns(2)
    loss = build_loss("cross-entropy")
    found = estimate_curvature(lenet, images, labels, loss)
    # A convolution that has swallowed the normalisation: the same function, weights × γ/σ.
    plain = network("modern", activation="tanh", pooling="average")
    plain.load_state_dict({k: v for k, v in lenet.state_dict().items() if not k.startswith("norm")})
    with torch.no_grad():
        for norm, conv in ((lenet.norm1, plain.c1), (lenet.norm3, plain.c3)):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            conv.weight *= scale[:, None, None, None]
            conv.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)
    swallowed = estimate_curvature(plain, images, labels, loss)
    scale = (lenet.norm3.weight / (lenet.norm3.running_var + lenet.norm3.eps).sqrt()).detach()
    torch.testing.assert_close(found["c5.weight"], swallowed["c5.weight"])
    torch.testing.assert_close(
        found["c3.weight"], swallowed["c3.weight"] * scale.square()[:, None, None, None]
    )
    torch.testing.assert_close(found["norm3.bias"], swallowed["c3.bias"])
    assert not any(name.startswith("lenet") for name in found)
    assert lenet.training


@pytest.mark.parametrize("setting", ["affine", "track_running_stats"])
def test_batch_norm_is_refused_where_it_is_another_layer(setting):
    lenet = network("modern", batch_norm=True)
    lenet.norm3 = nn.BatchNorm2d(16, **{setting: False}).double()
    with pytest.raises(InputError, match=f"{setting}=False"):
        estimate_curvature(lenet, *patterns(2), build_loss("cross-entropy"))
    assert lenet.training


def test_codes_that_learn_have_a_curvature_too():
    lenet = network(trainable_codes=True)
    images, labels = patterns(4)
    found = estimate_curvature(lenet, images, labels, mean_square)["output.centers"]
    # Eq. (8): 2 for each pattern of the class, and nothing else.
    expected = torch.bincount(labels, minlength=10).double()[:, None].expand(10, 84) * 2 / 4
    torch.testing.assert_close(found, expected)
    under_map = estimate_curvature(lenet, images, labels, maximum_a_posteriori)["output.centers"]
    assert (under_map >= 0).all()


@pytest.mark.parametrize("loss", ["cross-entropy", "mean-square", "map"])
@pytest.mark.parametrize("name", ["tutorial", "modern", "lecun1998"])
def test_never_negative_for_any_network(name, loss):
    lenet = network(name)
    for name_, diagonal in estimate_curvature(lenet, *patterns(4), build_loss(loss)).items():
        assert diagonal.shape == lenet.get_parameter(name_).shape
        assert (diagonal >= 0).all()
        assert diagonal.isfinite().all()


def test_more_patterns_average():
    lenet = network()
    images, labels = patterns(4)
    whole = estimate_curvature(lenet, images, labels, maximum_a_posteriori)
    halves = [
        estimate_curvature(lenet, images[i : i + 2], labels[i : i + 2], maximum_a_posteriori)
        for i in (0, 2)
    ]
    for name, value in whole.items():
        torch.testing.assert_close(value, (halves[0][name] + halves[1][name]) / 2)


def test_the_estimate_touches_nothing():
    lenet = network().train()
    before = {name: value.clone() for name, value in lenet.state_dict().items()}
    images, labels = patterns(2)
    estimate_curvature(lenet, images, labels, mean_square)
    assert all(p.grad is None for p in lenet.parameters())
    assert lenet.training
    assert all(torch.equal(before[k], v) for k, v in lenet.state_dict().items())
    # The hooks are gone: the gradient is the ordinary one again.
    mean_square(lenet(images), labels).backward()
    gradient = lenet.f6.bias.grad
    shifted = network()
    shifted.load_state_dict(before)
    with torch.no_grad():
        shifted.f6.bias[0] += 1e-6
    change = mean_square(shifted(images), labels) - mean_square(lenet(images), labels)
    assert change.item() / 1e-6 == pytest.approx(gradient[0].item(), rel=1e-4)


def test_a_step_is_the_printed_one():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = DiagonalLevenbergMarquardt([weight], lr=0.0005, mu=0.02)
    optimizer.set_curvature([torch.tensor([0.0, 0.48])])
    weight.grad = torch.tensor([1.0, -10.0])
    optimizer.step()
    # η / (μ + h): 0.0005 / 0.02 and 0.0005 / 0.5
    torch.testing.assert_close(weight.detach(), torch.tensor([1 - 0.025, 2 + 0.01]))
    torch.testing.assert_close(optimizer.rates()[0], torch.tensor([0.025, 0.001]))


def test_a_step_without_curvature_is_refused():
    weight = nn.Parameter(torch.ones(2))
    optimizer = DiagonalLevenbergMarquardt([weight], lr=0.1)
    weight.grad = torch.ones(2)
    with pytest.raises(InputError, match="set_curvature"):
        optimizer.step()


@pytest.mark.parametrize(("lr", "mu"), [(0.0, 0.02), (-1.0, 0.02), (0.1, 0.0)])
def test_rates_are_positive(lr, mu):
    with pytest.raises(InputError, match="must be positive"):
        DiagonalLevenbergMarquardt([nn.Parameter(torch.ones(1))], lr=lr, mu=mu)
