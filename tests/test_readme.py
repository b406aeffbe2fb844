"""Pages are executed: every `$ roofline …` of the README and of `docs/` prints what stands below it, in a console
block or between marks as markdown, and draws the figures that the page shows; every Python block runs; every link leads
somewhere; a translation shows the very commands, outputs and figures of its page.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_readme.py` writes outputs and figures again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
STORY = ROOT / "docs" / "training-and-inference.md"
TRANSLATION = ROOT / "docs" / "training-and-inference.ja.md"
FIGURES = Path("docs") / "figures"
DOCS = sorted((ROOT / "docs").glob("*.md"))
# Pages that are walked through from top to bottom, in a folder that fills, by tests of their own.
WALKED = ("add-a-chip.md", "add-a-model.md", "catalogue.md", "ci.md", "measure-this-machine.md", "reports.md")
EVERY = pytest.mark.parametrize("page", [README, *DOCS], ids=lambda page: page.name)

UNWALKED = [page for page in (README, *DOCS) if page != TRANSLATION and page.name not in WALKED]

BLOCK = re.compile(r"^```console\n\$ (?P<command>roofline .*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)
MARKED = re.compile(r"^<!-- \$ (?P<command>roofline .*) -->\n(?P<output>(?:.*\n)*?)<!-- end -->$", re.MULTILINE)
FENCED = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
AWAY = {"--scheduler", "--shipped"}  # needs a cluster; takes half an hour
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
MATPLOTLIB = re.compile(r"Matplotlib v([0-9.]+)")
UPDATE = bool(os.environ.get("ROOFLINE_UPDATE"))


def having(pattern: re.Pattern[str]) -> pytest.MarkDecorator:
    """For every page in which the pattern occurs, but the translation and those that are walked through."""
    pages = [page for page in UNWALKED if pattern.search(page.read_text(encoding="utf-8"))]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


def printed(command: str, folder: Path) -> str:
    arguments = shlex.split(command)[1:]
    environment = {**os.environ, "COLUMNS": "160"}
    ran = subprocess.run(
        [sys.executable, "-m", "roofline", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / FIGURES).mkdir(parents=True)
    return tmp_path


def agree(page: Path, fresh: str, text: str) -> None:
    """The page says what was printed; on update it is made to."""
    if UPDATE:
        page.write_text(fresh, encoding="utf-8")
    else:
        assert fresh == text


def test_readme_and_story_show_transcripts() -> None:
    assert all(len(BLOCK.findall(page.read_text(encoding="utf-8"))) >= 4 for page in (README, STORY))


@having(BLOCK)
def test_every_transcript_and_figure_is_true(page: Path, checkout: Path) -> None:
    text = page.read_text(encoding="utf-8")
    agree(
        page,
        BLOCK.sub(lambda block: f"```console\n$ {block['command']}\n{printed(block['command'], checkout)}```", text),
        text,
    )
    drawn = {path.name: path for path in (checkout / FIGURES).iterdir()}
    assert set(drawn) <= {Path(target).name for target in IMAGE.findall(text)}
    for name, fresh in drawn.items():
        if UPDATE:
            shutil.copy(fresh, ROOT / FIGURES / name)
        assert alike(fresh.read_text(encoding="utf-8"), (ROOT / FIGURES / name).read_text(encoding="utf-8")), name


def alike(fresh: str, kept: str) -> bool:
    """Whether two figures are the same: to the byte if one version of Matplotlib drew both, else in all that they say,
    as versions place things a little differently."""
    versions = [MATPLOTLIB.findall(figure) for figure in (fresh, kept)]
    return fresh == kept if versions[0] == versions[1] else said(fresh) == said(kept)


def said(figure: str) -> list[str]:
    """Every text of a figure but the ticks of its axes, in which versions may differ, too."""
    return sorted(text for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure) if re.search(r"[a-z]{3}", text))


def test_figures_differ_if_a_number_in_them_does() -> None:
    figure = "<dc:title>Matplotlib v3.9.1, x</dc:title><text x='1'>reading weights 6.73 ms</text><text>5 ms</text>"
    other = figure.replace("v3.9.1", "v3.10.0").replace("x='1'", "x='1.5'").replace("5 ms</text>", "6 ms</text>")
    assert alike(figure, figure)
    assert alike(figure, other)
    assert not alike(figure, other.replace("6.73", "6.74"))
    assert not alike(figure, figure.replace("x='1'", "x='1.5'"))


def test_no_figure_is_left_from_a_command_that_is_gone() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (README, *DOCS))
    assert {path.name for path in (ROOT / FIGURES).iterdir()} == set(re.findall(rf"--chart {FIGURES}/(\S+)", pages))


def test_a_translation_shows_what_its_page_shows() -> None:
    text, page = TRANSLATION.read_text(encoding="utf-8"), STORY.read_text(encoding="utf-8")
    blocks = {block["command"]: block[0] for block in BLOCK.finditer(page)}
    fresh = BLOCK.sub(lambda block: blocks[block["command"]], text)
    agree(TRANSLATION, fresh, text)
    assert [block["command"] for block in BLOCK.finditer(fresh)] == list(blocks)
    assert IMAGE.findall(fresh) == IMAGE.findall(page)
    for mark in ("## ", "### "):
        assert headings(fresh, mark) == headings(page, mark)


def headings(text: str, mark: str) -> int:
    return sum(line.startswith(mark) for line in text.splitlines())


@having(MARKED)
def test_every_marked_table_is_true(page: Path, checkout: Path) -> None:
    text = page.read_text(encoding="utf-8")

    def fresh(block: re.Match[str]) -> str:
        return f"<!-- $ {block['command']} -->\n{printed(block['command'], checkout)}<!-- end -->"

    agree(page, MARKED.sub(fresh, text), text)


@having(PYTHON)
def test_every_python_block_runs(page: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    for block in PYTHON.findall(page.read_text(encoding="utf-8")):
        subprocess.run([sys.executable, "-W", "error", "-c", block], check=True, capture_output=True)


def unprinted(page: Path) -> list[list[str]]:
    """Commands that a page shows without what they print, in order."""
    blocks = FENCED.finditer(page.read_text(encoding="utf-8"))
    text = "".join(block["text"] for block in blocks if block["kind"] in ("", "sh"))
    commands = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words for words in commands if words[:1] == ["roofline"] and not AWAY & set(words)]


@pytest.mark.parametrize("page", [page for page in UNWALKED if unprinted(page)], ids=lambda page: page.name)
def test_every_command_without_output_runs(page: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    for name in ("my-measurements.csv", "others.csv", "mine.csv"):
        shutil.copy(ROOT / "examples" / "my-measurements.csv", name)
    for words in unprinted(page):
        subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)


@EVERY
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target.partition("#")[0]).exists(), target


def test_the_gate_runs_the_readmes_commands() -> None:
    """`.ci/run` takes both commands out of the README, so they can't drift apart."""
    text = README.read_text(encoding="utf-8")
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for mark in ("run", "test"):
        assert re.search(rf"<!-- {mark} -->\n```sh\npython -m pip install ", text)
        assert f"readme {mark}" in gate
