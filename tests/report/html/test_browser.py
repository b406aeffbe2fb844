"""Pages in a browser: quiet, alone, legible by day and by night, on a phone and on paper, with tables that sort and
charts that tell their figures to pointer and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from roofline.report import formats
from roofline.report.html import page as pages

Result = dict[str, Any]
Write = Callable[[str], Path]
AA = 4.5  # WCAG 2, success criterion 1.4.3
LOUD = "<script>document.title='run'</script><img src='https://example.org/x.png' onerror=\"document.title='run'\">"

# Every text that is seen, with the ratio of its luminance to that of what it stands on (WCAG 2).
CONTRAST = """(() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, under) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((at) => top[at] * alpha + under[at] * (1 - alpha));
  };
  const light = (rgb) => rgb.map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(parse(getComputedStyle(at).backgroundColor));
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, style = getComputedStyle(element);
    if (!walk.currentNode.textContent.trim() || !element.getClientRects().length || element.closest("script, style")) continue;
    const below = ground(element);
    const ink = over(parse(element.closest("svg") ? style.fill : style.color), below);
    const [one, other] = [light(ink), light(below)].sort((a, b) => b - a);
    found.push([(one + 0.05) / (other + 0.05), walk.currentNode.textContent, style.opacity]);
  }
  return found;
})()"""
FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
COLUMN = (
    "Array.from(document.querySelectorAll('table')[{table}].tBodies[0].rows, row => row.cells[{column}].textContent)"
)
MIDDLE = """(() => {
  const mark = document.querySelector(".marks > :first-child");
  mark.scrollIntoView({ block: "center" });
  const box = mark.querySelector("path").getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""
HEAD = "document.querySelectorAll('table')[{table}].tHead.rows[0].cells[{column}]"


@pytest.fixture
def deployments(comparison: Result) -> Result:
    """A comparison in which numbers sort otherwise than their texts, and one is not known."""
    rows = [*comparison["rows"], *deepcopy(comparison["rows"][:2])]
    for row, seconds, name in zip(rows, (0.5, 9.7e-05, 0.2, 12.0, None), "edcba", strict=True):
        row["metrics"]["ttft_s"] = seconds
        row["deployment"]["label"] = f"{name}-chip"
        row["fits"], row["why"] = True, None
    return {**comparison, "rows": rows}


@pytest.fixture(params=["chat", "comparison", "contrast", "trade", "validation", "entry"])
def drawn(request: pytest.FixtureRequest) -> Result:
    found: Result = request.getfixturevalue(request.param)
    return found


def test_a_page_is_quiet_and_asks_for_nothing(drawn: Result, browser: Any, page: Write) -> None:
    path = page(formats.render(drawn, "html"))
    browser.open(path)
    browser.run(FRAME)
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]


def test_what_is_smuggled_in_neither_runs_nor_loads(chat: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(chat, "html").replace("</main>", f"{LOUD}</main>")))
    assert browser.run("document.title") != "run"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
    failed = (event["params"] for event in browser.events if event.get("method") == "Network.loadingFailed")
    assert [event.get("blockedReason") for event in failed] == ["csp"]
    assert [address for address in browser.requests() if "example" in address] == ["https://example.org/x.png"]


def test_names_are_shown_and_not_run(comparison: Result, browser: Any, page: Write) -> None:
    for row in comparison["rows"]:
        row["deployment"]["label"] += LOUD
        row["deployment"]["chip_name"] = LOUD
    browser.open(page(formats.render(comparison, "html")))
    assert browser.run("document.title") != "run"
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert LOUD in browser.run("document.querySelector('svg').textContent")
    assert browser.complaints() == []


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
def test_tables_sort_by_click_and_by_key(way: str, deployments: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(deployments, "html")))
    head, column = HEAD.format(table=0, column=3), COLUMN.format(table=0, column=0)
    assert browser.run(f"{head}.textContent") == "TTFT"
    seen = {}
    browser.run(f"{head}.querySelector('button').focus()")
    for _ in range(3):
        if way == "click":
            box = browser.run(f"(() => {{ const box = {head}.querySelector('button').getBoundingClientRect();"
                              " return [box.x + box.width / 2, box.y + box.height / 2]; })()")  # fmt: skip
            browser.point(*box, click=True)
        else:
            browser.press(*{"Enter": ("Enter", 13, "\r"), "Space": (" ", 32, " ")}[way])
        seen[browser.run(f"{head}.getAttribute('aria-sort')")] = "".join(name[0] for name in browser.run(column))
    assert seen == {"ascending": "dceba", "descending": "becda", "none": "edcba"}  # what is not known stays last


def test_only_the_sorted_column_says_so(deployments: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(deployments, "html")))
    for column in (0, 4):
        browser.run(f"{HEAD.format(table=0, column=column)}.querySelector('button').click()")
        sorts = browser.run("Array.from(document.querySelector('tr').cells, head => head.getAttribute('aria-sort'))")
        assert [at for at, order in enumerate(sorts) if order != "none"] == [column]
        assert sorts[column] == "ascending"
    assert browser.run(COLUMN.format(table=0, column=0)) != sorted(browser.run(COLUMN.format(table=0, column=0)))


def test_marks_tell_their_figures_to_keys(chat: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(chat, "html")), height=300)  # so that focus makes it scroll
    tip, mark = "document.querySelector('.tip')", "document.activeElement.closest('.mark')"
    assert browser.run(f"{tip}.hidden")
    for _ in range(40):
        browser.press("Tab", 9)
        if browser.run(f"Boolean({mark})"):
            break
    browser.run(FRAME)
    assert browser.run("scrollY") > 0
    told = browser.run(f"{tip}.textContent")
    assert not browser.run(f"{tip}.hidden")
    assert "FLOP/B" in told
    assert "of the phase's time" in told
    assert told.split("\n") == browser.run(f"{mark}.getAttribute('aria-label')").split(", ")
    xs = [browser.run(f"{mark}.getBoundingClientRect().x")]
    marks = browser.run(f"{mark}.parentNode.children.length")
    for _ in range(marks):
        browser.press("ArrowRight", 39)
        xs.append(browser.run(f"{mark}.getBoundingClientRect().x"))
    start = xs.index(min(xs))
    assert len(set(xs)) > 3
    assert xs[0] == xs[-1]
    assert xs[start:-1] + xs[:start] == sorted(xs[:-1])
    browser.press("Escape", 27)
    assert browser.run(f"{tip}.hidden")


def test_marks_tell_their_figures_to_the_pointer(chat: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(chat, "html")))
    place = browser.run(MIDDLE)
    browser.run(FRAME)  # scrolling hides what is told
    browser.point(*place)
    assert "FLOP/B" in browser.run("document.querySelector('.tip').textContent")
    assert not browser.run("document.querySelector('.tip').hidden")
    browser.point(2, 2)
    assert browser.run("document.querySelector('.tip').hidden")


def test_marks_tell_their_figures_to_a_finger(chat: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(chat, "html")), width=360, height=740)
    place = browser.run(MIDDLE)
    browser.run(FRAME)
    browser.tap(*place)
    browser.run(FRAME)
    assert not browser.run("document.querySelector('.tip').hidden")
    assert "FLOP/B" in browser.run("document.querySelector('.tip').textContent")
    box = browser.run(
        "(() => { const box = document.querySelector('.tip').getBoundingClientRect(); return [box.left, box.right]; })()"
    )
    assert 0 <= box[0] < box[1] <= 360
    browser.tap(5, 5)
    browser.run(FRAME)
    assert browser.run("document.querySelector('.tip').hidden")


@pytest.mark.parametrize("media", ["light", "dark", "print"])
def test_every_text_is_legible(media: str, drawn: Result, browser: Any, page: Write) -> None:
    scheme = {"scheme": media} if media != "print" else {"media": "print"}
    browser.open(page(formats.render(drawn, "html")), **scheme)
    found = browser.run(CONTRAST)
    assert len(found) > 10
    assert [(round(ratio, 2), words) for ratio, words, _ in found if ratio < AA] == []
    assert {opacity for _, _, opacity in found} == {"1"}


def test_dark_is_dark(chat: Result, browser: Any, page: Write) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        browser.open(page(formats.render(chat, "html")), scheme=scheme)
        grounds.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 28)"]


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_nothing_reaches_beyond_the_page(width: int, drawn: Result, browser: Any, page: Write) -> None:
    """What is wider than a phone scrolls in its own frame."""
    browser.open(page(formats.render(drawn, "html")), width=width, height=740)
    seen = browser.run("document.documentElement.clientWidth")  # less than the width where there is a scroll bar
    assert width - 20 < seen <= width
    assert browser.run("document.documentElement.scrollWidth") == seen
    wide = browser.run(
        "Array.from(document.querySelectorAll('main *')).filter(item => !item.closest('.scroll, svg')"
        " && item.getBoundingClientRect().right > document.documentElement.clientWidth).map(item => item.outerHTML.slice(0, 80))"
    )
    assert wide == []
    if width == 360:
        assert browser.run(
            "Array.from(document.querySelectorAll('.scroll')).some(item => item.scrollWidth > item.clientWidth)"
        )


def test_paper_shows_all_and_nothing_to_press(comparison: Result, browser: Any, page: Write) -> None:
    browser.open(page(formats.render(comparison, "html")), media="print", width=700)
    assert browser.run("getComputedStyle(document.querySelector('th button'), '::before').display") == "none"
    assert set(
        browser.run("Array.from(document.querySelectorAll('.scroll'), item => getComputedStyle(item).overflowX)")
    ) == {"visible"}
    assert browser.run("getComputedStyle(document.querySelector('h1')).color") == "rgb(0, 0, 0)"
    assert browser.printed().startswith(b"%PDF")


def test_a_fragment_leaves_the_page_around_it_alone(chat: Result, browser: Any, page: Write) -> None:
    around = "<!doctype html><title>notebook</title><h1>before</h1><table><tr><td>cell</td></tr></table>{}<p>after</p>"
    names = [
        "color",
        "background",
        "font",
        "margin",
        "padding",
        "border",
        "text-align",
        "white-space",
        "border-collapse",
    ]
    styles = "Array.from(document.querySelectorAll('body, body > h1, body > table td, body > p'), item => " \
             f"{names}.map(name => getComputedStyle(item).getPropertyValue(name)))"  # fmt: skip
    seen = []
    for inside in ("", pages.fragment(chat)):
        browser.open(page(around.format(inside)))
        seen.append(browser.run(styles))
        assert browser.complaints() == []
    assert seen[0] == seen[1]
    assert browser.run("getComputedStyle(document.querySelector('.roofline th.number')).textAlign") == "right"
