"""Write the tables of the READMEs and docs from results/*.json; `--check` only compares.

Tables are made in English. Those of the Chinese pages are the same ones, every cell translated.
"""

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
    "docs/performance.zh-CN.md": "zh",
    "docs/paper.md": "en",
    "docs/paper.zh-CN.md": "zh",
}
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

HEADS = {
    "accuracy": "data | network / recipe | parameters | epochs | train % | **test %** | seeds",
    "speed": "images per second | lenet | lenet.fuse | PyTorch | channels last | torch.compile | "
    "the lesson's pipeline | ONNX Runtime",
    "stages": "stage | tutorial, 64: µs | of the peak | tutorial, 256: µs | of the peak",
    "facts": "the run | ",
    "reproduction": " | paper | ours, mean ± sd | mean ± 2 sd | verdict",
    "reproduction-all": " | paper | ours, mean ± sd | mean ± 2 sd | verdict",
    "choices": "choice | validation error % | training error % | seeds",
}
CHINESE = {
    "data": "数据集",
    "network / recipe": "网络 / 配方",
    "parameters": "参数量",
    "epochs": "轮数",
    "train %": "训练 %",
    "**test %**": "**测试 %**",
    "seeds": "种子数",
    "images per second": "每秒图像数",
    "the lesson's pipeline": "教程的写法",
    "training": "训练",
    "inference": "推理",
    "batch {}": "批大小 {}",
    "stage": "阶段",
    "of the peak": "占峰值",
    "learn": "学习",
    "gather": "取图",
    "forward": "前向",
    "loss": "损失",
    "backward": "反向",
    "update": "更新",
    "the run": "这次运行",
    "machine": "机器",
    "{} CPUs": "{} 个 CPU",
    "{} threads": "{} 个线程",
    "versions": "版本",
    "engine": "引擎",
    "engine {} on {}": "{} 引擎，在 {} 上",
    "float32 matrix product": "float32 矩阵乘法",
    "memory": "内存",
    "copying": "复制",
    "first use of {} in a process": "进程中第一次使用 {}",
    "{} s of compiling": "编译 {} 秒",
    "memory of a Fashion-MNIST training": "一次 Fashion-MNIST 训练的内存",
    "{} MB beyond {}": "比 {1} 多 {0} MB",
    "paper": "论文",
    "ours": "本项目",
    "mean ± sd": "均值 ± 标准差",
    "mean ± 2 sd": "均值 ± 2 标准差",
    "verdict": "结论",
    "reproduced": "重现",
    "better": "更好",
    "worse": "更差",
    "test error, %": "测试错误率 %",
    "training error, %": "训练错误率 %",
    "passes until the test error settles": "测试错误率稳定所需的遍数",
    "about {}": "约 {}",
    "effective learning rates, first pass": "第一遍的有效学习率",
    "test error from {} patterns, %": "{} 个训练样本的测试错误率 %",
    "test error with distortions, %": "加入形变后的测试错误率 %",
    "rejected for {} % error, %": "余下错误率为 {} % 时的拒识率 %",
    "test error, size × {}, %": "测试错误率 %，大小 × {}",
    "test error, moved by {} px, %": "测试错误率 %，平移 {} 像素",
    "test error, turned by {}, %": "测试错误率 %，旋转 {}",
    "test error, noise in {} of the pixels, %": "测试错误率 %，{} 的像素有噪声",
    "AUROC of digits against {}, by {}": "数字对{}的 AUROC，按{}",
    "garments": "服装",
    "letters": "字母",
    "noise": "噪声",
    "blank": "空白",
    "penalty": "惩罚值",
    "confidence": "置信度",
    "choice": "选择",
    "validation error %": "验证错误率 %",
    "training error %": "训练错误率 %",
    "the default": "默认",
    "as printed": "按论文所印",
    "subsampling added": "下采样：相加",
    "distorted": "形变",
    "half as far": "幅度减半",
    "{}: {}": "{}：{}",
}
"""Words and phrases of the tables; `{}` stands for anything without a comma and is itself said."""
OURS = {"lenet": "lenet train", "lenet-fuse": "lenet.fuse"}
DATA = ("digits", "mnist", "mnist+drawn", "fashion-mnist")


def accuracy() -> list[list[str]]:
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


def speed() -> list[list[str]]:
    """A row for every contest of bench.json: speeds, and how often ours is theirs."""
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
        rows.append([f"{task}, `{network}`, batch {batch_size:,}", *cells])
    return rows


def stages() -> list[list[str]]:
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


def facts() -> list[list[str]]:
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


def reproduction() -> list[list[str]]:
    """The paper's errors and ours: the rows with a printed number, and the training-set sizes."""
    return [_cells(line) for line in _reproduced() if line.paper or "patterns" in line.what]


def reproduction_all() -> list[list[str]]:
    """Everything measured on the reproduced networks."""
    return [_cells(line) for line in _reproduced()]


def _reproduced() -> "list[Comparison]":
    from lenet.reproduction import compare, read_results

    return compare(read_results(RESULTS / "1998"))


def _cells(line: "Comparison") -> list[str]:
    return [line.what, line.paper, line.ours, line.band, line.verdict]


def choices() -> list[list[str]]:
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
    head = HEADS[name].split(" | ")
    rule = ["---", *["---:" if name in NUMBERS else "---"] * (len(head) - 1)]
    lines = [head, rule, *TABLES[name]()]
    if language == "zh":
        lines = [[in_chinese(cell) for cell in cells] for cells in lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def in_chinese(text: str) -> str:
    """A phrase that `CHINESE` has, or the list that the text is, phrase by phrase; names stay."""
    for english, chinese in CHINESE.items():
        pattern = re.escape(english).replace(r"\{\}", "((?:(?!, ).)+)")
        if found := re.fullmatch(pattern, text):
            return chinese.format(*map(in_chinese, found.groups()))
    phrases = text.split(", ")
    return "，".join(map(in_chinese, phrases)) if len(phrases) > 1 else text


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
