"""The summary of each network against counts worked out by hand."""

import pytest
import torch

from lenet.networks import build_network
from lenet.networks.summary import count_flops, summarize


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("tutorial", {}, 61_706),
        ("modern", {}, 61_706),
        ("modern", {"batch_norm": True}, 61_750),
        ("lecun1998", {}, 60_000),
        ("lecun1998", {"trainable_codes": True}, 60_840),
    ],
)
def test_parameters_are_all_counted_once(name, options, parameters):
    network = build_network(name, **options)
    assert sum(row.parameters for row in summarize(network)) == parameters
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == parameters


def test_multiply_adds_of_the_tutorial():
    # C1 28·28·6·25, C3 10·10·16·150, then the three dense layers.
    rows = {row.layer: row.multiply_adds for row in summarize(build_network("tutorial"))}
    assert rows == {
        "c1": 117_600,
        "s2": 0,
        "c3": 240_000,
        "s4": 0,
        "c5": 48_000,
        "f6": 10_080,
        "output": 840,
    }


def test_summarizing_leaves_the_network_as_it_was():
    network = build_network("modern", batch_norm=True, dropout=0.5).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    summarize(network)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_arithmetic_of_the_articles_network():
    flops = count_flops(build_network("tutorial"))
    assert flops["forward"] == (
        2 * (28 * 28 * 6 * 25 + 100 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10)
    )
    # 0.833 million forward, 2.26 million in all: C1's input gradient is not computed.
    assert sum(flops.values()) == pytest.approx(2.26e6, rel=0.005)


def test_it_prints_as_a_table_and_iterates_as_rows():
    summary = summarize(build_network("tutorial"))
    assert [row.layer for row in summary] == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    lines = str(summary).splitlines()
    assert lines[0].split() == list(summary.head)
    assert lines[2].split()[:2] == ["c1", "Conv2d"]
    assert lines[2].split()[-3:] == ["156", "122,304", "117,600"]
    assert lines[-1].split() == ["total", "61,706", "429,342", "416,520"]
    assert {len(line) for line in lines} == {len(lines[0])}
    html = summary._repr_html_()
    assert html.count("<tr>") == 9
    assert '<th style="text-align:right">61,706</th></tr>' not in html
    assert ">61,706<" in html
