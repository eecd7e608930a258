"""The documentation's numbers are those of results/, and its tables say them right."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_as_results_has_it(tables: ModuleType) -> None:
    for name, language in tables.PAGES.items():
        text = (ROOT / name).read_text("utf-8")
        assert tables.MARKED.search(text), f"{name} has no marked table"
        assert tables.render(text, language) == text, f"{name} is stale: run `make tables`"


def test_tables_from_made_up_results(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {
        "data": {"name": "mnist"},
        "network": "modern",
        "recipe": {"name": "digit", "epochs": 40},
        "parameters": 61706,
        "engine": "fused",
        "train_accuracy": {"mean": 0.99, "sd": 0.001, "n": 2},
        "test_accuracy": {"mean": 0.98765, "sd": 0.0012, "n": 2},
    }
    rows = [
        {"task": "training", "network": "tutorial", "batch_size": 64, "who": who}
        | {"images_per_second": speed, "low": speed, "high": speed}
        for who, speed in (("torch-eager", 10_000), ("lenet", 60_000))
    ]
    (tmp_path / "accuracy-mnist.json").write_text(json.dumps(result))
    (tmp_path / "bench.json").write_text(json.dumps({"rows": rows, "stages": []}))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    page = (
        "a\n<!-- table: accuracy -->\nold\n<!-- end -->\nb\n<!-- table: speed -->\n<!-- end -->\n"
    )
    lines = tables.render(page, "en").splitlines()
    assert lines[0] == "a"
    assert lines[4] == (
        "| mnist | `modern` / `digit` | 61,706 | 40 | 99.00 ± 0.10 | **98.77 ± 0.12** | 2 |"
    )
    assert lines[-2] == (
        "| training, `tutorial`, batch 64 | **60,000** | – | 10,000 (6.0×) | – | – | – | – |"
    )
    assert tables.render(tables.render(page, "en"), "en") == tables.render(page, "en")


# Names and signs that a Chinese table has in small Latin letters, beside code.
NAMES = {
    "lenet",
    "lenet.fuse",
    "channels",
    "last",
    "torch.compile",
    "digits",
    "mnist",
    "fashion-mnist",
}
NAMES |= {
    "tutorial",
    "python",
    "torch",
    "numpy",
    "halide",
    "onnxruntime",
    "fused",
    "cpu",
    "µs",
    "j",
}


def test_a_chinese_table_is_chinese_to_the_last_word(tables: ModuleType) -> None:
    for name in tables.TABLES:
        text = re.sub(r"`.*?`", "", tables.table(name, "zh"))
        english = set(re.findall(r"(?<![\w+./-])[a-zµ][a-zµ.-]*(?!\w)", text))
        assert english <= NAMES, f"{name}: {english - NAMES} in the Chinese table"
        assert ", " not in text, f"{name}: a half-width comma between Chinese words"


def test_a_phrase_is_chinese_through_its_holes_and_lists(tables: ModuleType) -> None:
    assert tables.in_chinese("training, `modern`, batch 1,024") == "训练，`modern`，批大小 1,024"
    assert tables.in_chinese("AUROC of digits against noise, by penalty") == (
        "数字对噪声的 AUROC，按惩罚值"
    )
    assert tables.in_chinese("about 10") == "约 10"
    assert tables.in_chinese("0.91 ± 0.09") == "0.91 ± 0.09"
