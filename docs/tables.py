"""Write the tables of the READMEs and docs from results/*.json; `--check` only compares."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet.benchmark.peers import PEERS

if TYPE_CHECKING:
    from lenet.reproduction import Comparison

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
PAGES = {
    "README.md": "en",
    "README.zh-CN.md": "zh",
    "docs/performance.md": "en",
    "docs/paper.md": "en",
}
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

HEADS = {
    "accuracy": {
        "en": "data | network / recipe | parameters | epochs | train % | **test %** | seeds",
        "zh": "数据集 | 网络 / 配方 | 参数量 | 轮数 | 训练 % | **测试 %** | 种子数",
    },
    "speed": {
        "en": "images per second | lenet | lenet.fuse | PyTorch | channels last | torch.compile | "
        "the lesson's pipeline | ONNX Runtime",
        "zh": "每秒图像数 | lenet | lenet.fuse | PyTorch | channels last | torch.compile | "
        "教程的写法 | ONNX Runtime",
    },
    "stages": {
        "en": "stage | tutorial, 64: µs | of the peak | tutorial, 256: µs | of the peak",
    },
    "facts": {"en": "the run | "},
    "reproduction": {
        "en": " | paper | ours, mean ± sd | mean ± 2 sd | verdict",
        "zh": " | 论文 | 本项目，均值 ± 标准差 | 均值 ± 2 标准差 | 结论",
    },
    "reproduction-all": {"en": " | paper | ours, mean ± sd | mean ± 2 sd | verdict"},
    "choices": {"en": "choice | validation error % | training error % | seeds"},
}
TASKS = {
    "en": {"training": "training", "inference": "inference", "batch": "batch", "comma": ", "},
    "zh": {"training": "训练", "inference": "推理", "batch": "批大小", "comma": "，"},
}
OURS = {"lenet": "lenet train", "lenet-fuse": "lenet.fuse"}
DATA = ("digits", "mnist", "fashion-mnist")


def accuracy(language: str) -> list[list[str]]:
    """Mean ± standard deviation over seeds, a row for every accuracy-*.json."""
    results = [read(path) for path in RESULTS.glob("accuracy-*.json")]
    results = [result for result in results if result["engine"] == "fused"]
    results.sort(key=lambda r: (DATA.index(r["data"]["name"]), r["test_accuracy"]["mean"]))
    return [
        [
            result["data"]["name"],
            f"`{result['network']}` / `{result['recipe']['name']}`",
            f"{result['parameters']:,}",
            str(result["recipe"]["epochs"]),
            percent(result["train_accuracy"]),
            f"**{percent(result['test_accuracy'])}**",
            str(result["test_accuracy"]["n"]),
        ]
        for result in results
    ]


def percent(spread: dict[str, float]) -> str:
    return f"{100 * spread['mean']:.2f} ± {100 * spread['sd']:.2f}"


def speed(language: str) -> list[list[str]]:
    """A row for every contest of bench.json: speeds, and how often ours is theirs."""
    words = TASKS[language]
    speeds: dict[tuple[str, str, int], dict[str, float]] = {}
    for row in read(RESULTS / "bench.json")["rows"]:
        contest = (row["task"], row["network"], row["batch_size"])
        speeds.setdefault(contest, {})[row["who"]] = row["images_per_second"]
    rows = []
    for (task, network, batch_size), each in speeds.items():
        ours = each["lenet"]
        cells = [f"**{ours:,.0f}**"]
        cells += [
            f"{each[who]:,.0f} ({ours / each[who]:.1f}×)" if who in each else "–"
            for who in PEERS[1:]
        ]
        contest = (words[task], f"`{network}`", f"{words['batch']} {batch_size:,}")
        head = words["comma"].join(contest)
        rows.append([head, *cells])
    return rows


def stages(language: str) -> list[list[str]]:
    """Our own training step, stage by stage."""
    parts: dict[str, dict[int, dict[str, Any]]] = {}
    for stage in read(RESULTS / "bench.json")["stages"]:
        if stage["network"] == "tutorial":
            name = f"`{OURS[stage['who']]}`: {stage['stage']}"
            parts.setdefault(name, {})[stage["batch_size"]] = stage
    rows = []
    for name, by_size in parts.items():
        row = [name]
        for size in (64, 256):
            share = by_size[size]["share_of_peak"]
            row += [f"{by_size[size]['microseconds']:,.0f}", f"{share:.0%}" if share else ""]
        rows.append(row)
    return rows


def facts(language: str) -> list[list[str]]:
    """What else the run says."""
    bench = read(RESULTS / "bench.json")
    rows = [
        ["machine", f"{bench['machine']}, {bench['threads']} threads"],
        ["versions", ", ".join(f"{name} {version}" for name, version in bench["versions"].items())],
        ["engine", bench["engine"]],
        ["float32 matrix product", f"{bench['peak_gflops']:.0f} GFLOP/s"],
        ["memory, copying", f"{bench['memory_gb_per_second']:.0f} GB/s"],
    ]
    for network, seconds in bench["compile_seconds"].items():
        rows.append([f"first use of `{network}` in a process", f"{seconds:.1f} s of compiling"])
    if bench["training_memory_mb"] is not None:
        memory = f"{bench['training_memory_mb']:.0f} MB beyond `import torch`"
        rows.append(["memory of a Fashion-MNIST training", memory])
    return rows


def reproduction(language: str) -> list[list[str]]:
    """The paper's errors and ours: the rows with a printed number, and the training-set sizes."""
    wanted = [line for line in _reproduced() if line.paper or "patterns" in line.what]
    names = {line.what: line.what for line in wanted} if language == "en" else REPRODUCED
    return [
        [names[line.what], line.paper, line.ours, line.band, VERDICTS[language][line.verdict]]
        for line in wanted
    ]


def reproduction_all(language: str) -> list[list[str]]:
    """Everything measured on the reproduced networks."""
    return [[line.what, line.paper, line.ours, line.band, line.verdict] for line in _reproduced()]


def _reproduced() -> "list[Comparison]":
    from lenet.reproduction import compare, read_results

    return compare(read_results(RESULTS / "1998"))


REPRODUCED = {
    "test error, %": "测试错误率 %",
    "training error, %": "训练错误率 %",
    "passes until the test error settles": "测试错误率稳定所需的遍数",
    "effective learning rates, first pass": "第一遍的有效学习率",
    "test error from 15,000 patterns, %": "15,000 个训练样本的测试错误率 %",
    "test error from 30,000 patterns, %": "30,000 个训练样本的测试错误率 %",
    "test error with distortions, %": "加入形变后的测试错误率 %",
}
VERDICTS = {
    "en": {v: v for v in ("", "reproduced", "better", "worse")},
    "zh": {"": "", "reproduced": "重现", "better": "更好", "worse": "更差"},
}


def choices(language: str) -> list[list[str]]:
    """Errors after the last pass with each choice of what the paper leaves open."""
    rows = []
    for name, found in read(RESULTS / "choices-1998.json").items():
        validation = found["validation_error_percent"][-1]
        training = found["train_error_percent_on_the_fly"][-1]
        cells = [f"{spread['mean']:.2f} ± {spread['sd']:.2f}" for spread in (validation, training)]
        rows.append([name, *cells, str(len(validation["values"]))])
    return rows


TABLES = {
    "accuracy": accuracy,
    "speed": speed,
    "stages": stages,
    "facts": facts,
    "reproduction": reproduction,
    "reproduction-all": reproduction_all,
    "choices": choices,
}
NUMBERS = ("speed", "stages")


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def table(name: str, language: str) -> str:
    """Markdown; numbers to the right."""
    head = HEADS[name][language].split(" | ")
    rows = TABLES[name](language)
    lines = [
        head,
        ["---", *["---:" if name in NUMBERS else "---"] * (len(head) - 1)],
        *rows,
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def render(text: str, language: str) -> str:
    """The page with every marked table as results/ has it now."""
    return MARKED.sub(lambda m: f"{m[1]}{table(m[2], language)}{m[3]}", text)


def main() -> int:
    stale = []
    for name, language in PAGES.items():
        path = ROOT / name
        text = path.read_text("utf-8")
        rendered = render(text, language)
        if rendered != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(rendered, "utf-8")
    if stale and "--check" in sys.argv:
        print(f"not as results/ has it: {', '.join(stale)}; run `make tables`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
