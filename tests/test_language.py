"""language.py and locale/: all that reaches a person can be said in Chinese."""

import json
import re

import pytest

from lenet import language
from sentences import PACKAGE, find_sentences

PATH = PACKAGE / "locale" / "zh.json"
CATALOGUE: dict[str, str] = json.loads(PATH.read_text("utf-8"))

# --- The catalogue --------------------------------------------------------------------------------

COPIED = re.compile(  # words that stay Latin: commands, programs, names
    r"(lenet|pip install)( \w+)*|(device|engine|network|data) \w+"
    r"|state dict|TensorFlow Lite|ONNX Runtime|Zalando Research"
)


def filled(text: str) -> str:
    """With a number in every hole, but nothing in the first of two that touch."""
    text = re.sub(r"\{\d+\}(?=\{)", "", text)
    text = re.sub(r"(?<=[a-z])\{(\d+)\}", "", text)  # a plural's ending
    return re.sub(r"\{(\d+)\}", r"70\g<1>1", text)


@pytest.fixture
def chinese():
    language.speak("zh")
    yield
    language.speak("en")


class TestCatalogue:
    def test_has_every_sentence_that_reaches_a_person(self):
        missing = [text for text in find_sentences() if text not in CATALOGUE]
        lines = [f' {json.dumps(text, ensure_ascii=False)}: "",' for text in missing]
        assert not missing, "\n".join(["add to src/lenet/locale/zh.json:", *lines])

    def test_has_nothing_else(self):
        assert sorted(CATALOGUE.keys() - find_sentences().keys()) == []

    def test_names_each_sentence_once(self):
        pairs = json.loads(PATH.read_text("utf-8"), object_pairs_hook=list)
        assert len(pairs) == len(CATALOGUE)

    def test_keeps_what_is_filled_in(self):
        for english, chinese in CATALOGUE.items():
            # An English plural's ending has no counterpart.
            needed = set(re.findall(r"(?<![a-z])\{\d+\}", english))
            assert (
                needed
                <= set(re.findall(r"\{\d+\}", chinese))
                <= set(re.findall(r"\{\d+\}", english))
            ), english

    def test_keeps_together_what_is_filled_in_side_by_side(self):
        """Nobody can tell where the first ends: all of both is read as the second."""
        for english, chinese in CATALOGUE.items():
            for pair in re.findall(r"(?<![a-z])(?=(\{\d+\}\{\d+\}))", english):
                assert pair in chinese, english

    def test_leaves_no_english_words(self):
        for english, chinese in CATALOGUE.items():
            left = COPIED.sub("", re.sub(r"\{\d*\}", "|", chinese))
            assert not re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", left), english

    def test_sentences_are_found_by_their_own_template(self, chinese):
        for english, target in CATALOGUE.items():
            for plural in re.findall(r"(?<=[a-z])\{\d+\}", english):
                target = target.replace(plural, "")
            found = language.translate(filled(english))
            assert found.replace(" ", "") == filled(target).replace(" ", ""), english


class TestTranslate:
    @pytest.mark.parametrize(
        ("english", "said"),
        [
            ("a.png: 3  97.10 %  (then 5 2.00 %)", "a.png: 3  97.10 %  （其次 5 2.00 %）"),
            (
                "  doubt: Nothing stands out from the background.",
                "  疑点：没有什么从背景中显现出来。",
            ),
            (
                "no such option: --fo; did you mean --foo? (see lenet train --help)",
                "没有选项 --fo；是不是想写 --foo？（见 lenet train --help）",
            ),
            (
                "note: a: 2 subfolders were passed over; --recursive reads them",
                "注意：a：跳过了 2 个子文件夹；加上 --recursive 就会读取",
            ),
            ("epoch 3 must be at least 0, got 1", "epoch 3 必须是不小于 0，现在是 1"),
            ("It was fine. The loss has grown to 5.", "It was fine. 损失增大到了 5。"),
            ("--epochs must be a whole number, got 'x'", "--epochs 必须是整数，现在是 'x'"),
            ("4 given; use one of scale, noise, shift", "4 given；可用的有 scale, noise, shift"),
            ("learning rate 0.1, batch size 32", "学习率 0.1，批大小 32"),
            ("2 of 10", "2 / 10"),
        ],
    )
    def test_finds_what_is_known(self, chinese, english, said):
        assert language.translate(english) == said

    @pytest.mark.parametrize("name", ["Cup of tea", "A is B", "runs/my on your", "", " \n"])
    def test_leaves_names_alone(self, chinese, name):
        assert language.translate(name) == name

    def test_a_marked_name_stays_though_it_is_a_word_of_the_program(self, chinese):
        assert language.translate("right") != "right"
        name = language.verbatim("right")
        assert language.translate(name) == "right"
        assert language.translate(f"a.png: {name}  97.10 %  (then {name} 2.00 %)") == (
            "a.png: right  97.10 %  （其次 right 2.00 %）"
        )

    def test_a_mark_is_never_seen(self):
        assert language.translate(f"{language.verbatim('a')} → b") == "a → b"

    def test_leaves_everything_alone_in_english(self):
        language._catalogue.cache_clear()
        assert language.translate("no pictures") == "no pictures"
        assert language._catalogue.cache_info().currsize == 0  # not even read


class TestChoice:
    @pytest.mark.parametrize(
        ("environment", "found"),
        [
            ({}, "en"),
            ({"LANG": "zh_CN.UTF-8"}, "zh"),
            ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
            ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
            ({"LANG": "de_DE.UTF-8"}, "en"),
            ({"LANG": "", "LC_ALL": "zh"}, "zh"),
        ],
    )
    def test_follows_the_locale(self, environment, found):
        assert language.find_language(environment) == found

    @pytest.mark.parametrize("where", [("--lang", "zh", "models"), ("models", "--lang=zh")])
    def test_the_option_stands_anywhere(self, lenet_command, where):
        assert "参数量" in lenet_command(*where).out

    def test_what_follows_two_dashes_is_no_option(self, lenet_command):
        assert "--lang" in lenet_command("predict", "--", "--lang", "zh").err

    def test_the_locale_decides_without_it(self, lenet_command, monkeypatch):
        monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
        assert "参数量" in lenet_command("models").out
        assert "parameters" in lenet_command("models", "--lang", "en").out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--lang", "fr", "models"), "language 'fr' is unknown; use one of en, zh"),
            (("models", "--lang"), "--lang needs a language: en, zh"),
        ],
    )
    def test_other_languages_are_refused(self, lenet_command, arguments, said):
        result = lenet_command(*arguments)
        assert (result.code, result.err) == (2, f"lenet: {said}\n")


# --- The program ----------------------------------------------------------------------------------

NAMES = re.compile(r"(lenet|pip install)( [\w./-]+)+|--[\w-]+( [\w./|]+)?|[\w.-]*/[\w./-]*")
THREE_WORDS = re.compile(r"[A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,}")


def english_left(text: str) -> str | None:
    """Three Latin words in a row that are no command."""
    found = THREE_WORDS.search(NAMES.sub("|", text))
    return found and found[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of pictures, one of them with something else in it."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for name, shade in (("dark", 0), ("light", 120)):
        (folder / name).mkdir()
        for i in range(12):
            Image.new("L", (28, 28), shade + 10 * i).save(folder / name / f"{i}.png")
    (folder / "dark" / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def drawn():
    """The texts of every figure that is drawn, as a list that grows."""
    from lenet.figures import style

    texts, spell = [], style.spell

    def remember(figure):
        texts.extend(text.get_text() for text in figure.findobj(style.Text))
        spell(figure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "spell", remember)
        yield texts


@pytest.fixture(scope="module")
def run(lenet_command, folder, drawn):
    """A tiny training in Chinese: what it said, and its folder."""
    result = lenet_command(
        *("--lang", "zh", "train", "--data", folder, "--epochs", 2, "--engine", "torch"),
        *("--out", folder.parent / "runs", "--name", "tiny"),
    )
    return result, folder.parent / "runs" / "tiny"


class TestProgram:
    def test_train(self, run):
        result, _ = run
        assert "测试准确率" in result.out
        assert "跳过了 1 个不是图片的文件：notes.txt" in result.err
        assert english_left(result.out + result.err) is None

    def test_report(self, run):
        page = (run[1] / "report.html").read_text("utf-8")
        assert '<html lang="zh">' in page
        page = re.sub(
            r"(?s)<style>.*?</style>|base64,[^\"]*|<[^>]*(?<!alt)=\"[^\"]*\"[^>]*>", "|", page
        )
        assert "训练集" in page or "训练图片" in page
        assert english_left(re.sub(r"<[^>]*>", "|", page)) is None

    def test_figures(self, lenet_command, run, folder, drawn):
        picture, target = folder / "dark" / "9.png", folder.parent / "seen.png"
        for weights in ("digits", "lecun1998"):
            lenet_command(
                *("--lang", "zh", "predict", picture, "--weights", weights, "--explain", target)
            )
        assert "验证" in drawn
        left = {text for text in drawn if re.search(r"[A-Za-z]{3,}", text)}
        assert {text for text in left if not re.search(r"dark|light|plain|\.png", text)} == set()

    def test_files_for_programs_stay_english(self, run):
        results = json.loads((run[1] / "run.json").read_text("utf-8"))["results"]
        assert results["diagnosis"]["sentence"].isascii()

    @pytest.mark.parametrize(
        "command",
        [
            *("--help", "models", "models digits", "recipes", "recipes tuned", "summary"),
            *("data list", "data verify digits", "train --help", "reproduce --help"),
            *("evaluate --weights digits", "export --help", "predict nowhere.png"),
            *("predict --top 0 x.png", "predict --foo", "train --engine fusd", "train --set x=1"),
            *("models nobody", "train --epochs 0", "train --epochs many", "summary --classes 1"),
            *("train --data nowhere", "evaluate --weights nobody", "predict", "nothing"),
            *("data get nothing", "train --resume nowhere", "evaluate --split tests"),
        ],
    )
    def test_commands(self, lenet_command, command):
        result = lenet_command("--lang", "zh", *command.split())
        said = result.out + result.err
        assert re.search(r"[\u4e00-\u9fff]", said), said
        assert english_left(said) is None, said

    def test_names_that_are_typed_stay_as_they_are(self, lenet_command):
        assert "  optimizer " in lenet_command("--lang", "zh", "recipes", "tuned").out
        assert " name, optimizer, " in lenet_command("--lang", "zh", "train", "--set", "x=1").err

    def test_predict_with_doubts(self, lenet_command, folder):
        result = lenet_command("--lang", "zh", "predict", folder / "dark" / "3.png")
        assert "疑点：" in result.out
        assert english_left(result.out) is None

    def test_json_stays_english(self, lenet_command):
        outputs = {lenet_command("--lang", word, "models", "--json").out for word in ("en", "zh")}
        assert len(outputs) == 1
