"""The pages hang together: what they link to is there, and each is the same in both languages."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOR_DEVELOPERS = {"log.md"}
PAGES = {page.name: page for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
IN_TWO_LANGUAGES = [
    page
    for name, page in sorted(PAGES.items())
    if name not in FOR_DEVELOPERS and not name.endswith(".zh-CN.md")
]
LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")


def chinese(page: Path) -> Path:
    return page.with_suffix(".zh-CN.md")


def links(page: Path) -> list[tuple[str, Path, str]]:
    """What a page links to beside it: the words, the file and the place in it."""
    found = []
    for words, target in LINK.findall(page.read_text("utf-8")):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            found.append((words, page.parent / name if name else page, anchor))
    return found


def test_what_is_linked_exists():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for _, target, anchor in links(page):
            assert target.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(target), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", IN_TWO_LANGUAGES, ids=lambda page: page.name)
def test_a_page_has_a_chinese_twin_of_the_same_build(page: Path):
    assert chinese(page).exists(), f"{page.name} is in English only"
    ours, theirs = (path.read_text("utf-8") for path in (page, chinese(page)))
    assert f"**English** · [中文]({chinese(page).name})" in ours
    assert f"[English]({page.name}) · **中文**" in theirs
    assert len(build(ours)) > 20
    assert build(ours) == build(theirs)


def build(text: str) -> list[str]:
    """A page without its prose: what is the same in every language, in its order.

    Heading levels, marks of generated tables, pictures, the rows of tables by their numbers, code
    without its remarks, and where a drawing in letters stands.
    """
    kept, fence = [], ""
    for line in text.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
            kept.append(line)
        elif fence:
            kept += [re.split(r" {2,}#", line)[0]] if fence != "```" else []
        elif line.startswith("|"):
            numbers = re.findall(r"(?<![A-Za-z\d])\d+(?:[.,]\d+)*", line)
            kept.append(f"{line.count('|')} {sorted(numbers)}")
        else:
            kept += re.findall(r"^(?:#+(?= )|<!--.*-->)|(?<=\]\()\S+\.png(?=\))", line)
    return kept


@pytest.mark.parametrize("page", IN_TWO_LANGUAGES, ids=lambda page: page.name)
def test_a_chinese_page_leads_to_chinese_ones_or_says_that_it_does_not(page: Path):
    for words, target, _ in links(chinese(page)):
        if target.suffix == ".md" and not target.name.endswith(".zh-CN.md") and words != "English":
            assert not chinese(target).exists(), f"{target.name} is there in Chinese"
            assert words.endswith("（英文）"), f"{words}: {target.name} is in English"
