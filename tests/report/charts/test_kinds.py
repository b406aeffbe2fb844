"""Kinds of charts: which a result is drawn as, what it is told when it can't be, and that files are the same each time."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from roofline.cli import options
from roofline.errors import OutputError
from roofline.report import charts

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
OF = {
    "validation": "validation",
    "frontier": "trades",
    "roofline": "comparison",
    "time": "comparison",
    "energy": "comparison",
}


@pytest.fixture
def curve(training: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {"num_chips": 8 * 2**index, "tokens_per_s": 1e4 * 1.8**index, "efficiency": 0.9**index} for index in range(4)
    ]
    return {**training, "scaling": {"kind": "strong", "rows": rows, "cliff": None, "stopped": None}}


@pytest.fixture(params=OF)
def drawable(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, request.getfixturevalue(OF[request.param])


def svg(result: dict[str, Any], folder: Path, kind: str | None = None) -> str:
    charts.draw(result, folder / "x.svg", kind=kind)
    return (folder / "x.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", STARTS)
def test_the_same_numbers_give_the_same_bytes(
    suffix: str, drawable: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:  # fmt: skip
    kind, result = drawable
    first, second = tmp_path / f"a{suffix}", tmp_path / "temporary"
    charts.draw(result, first, kind=kind)
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "red"}):  # a user's own style changes nothing
        charts.draw(result, second, suffix=suffix, kind=kind)
    assert first.read_bytes().startswith(STARTS[suffix])
    assert first.read_bytes() == second.read_bytes()


def test_every_chart_has_a_source_line_and_no_odd_name_breaks_it(
    drawable: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:  # fmt: skip
    text = svg(drawable[1], tmp_path, drawable[0])
    assert "roofline 0.1.0; " in text
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "\u202e" not in text


def test_each_result_has_its_own_chart_unless_another_is_asked_for(
    chat: dict[str, Any], trade: dict[str, Any], curve: dict[str, Any], validation: dict[str, Any], tmp_path: Path
) -> None:
    texts = {"roofline": "arithmetic intensity", "frontier": "Cost against latency", "scaling": "Strong scaling",
             "validation": "Predicted and measured", "time": "Where the time goes"}  # fmt: skip
    for kind, result in {"roofline": chat, "frontier": trade, "scaling": curve, "validation": validation}.items():
        assert charts.default(result) == kind
        assert texts[kind] in svg(result, tmp_path)
    assert texts["time"] in svg(trade, tmp_path, "time")
    assert texts["roofline"] in svg(curve, tmp_path, "roofline")


@pytest.mark.parametrize(
    ("fixture", "kind", "message"),
    [
        ("chat", "tmie", "no chart kind 'tmie'; did you mean 'time'?"),
        ("chat", "pie", f"no chart kind 'pie'; one of {', '.join(charts.KINDS)}"),
        ("chat", "frontier", "chart kind frontier: needs --frontier"),
        ("comparison", "frontier", "chart kind frontier: needs --frontier"),
        ("training", "scaling", "chart kind scaling: needs --scaling"),
        ("validation", "time", "chart kind time: not of a validation, which is drawn as validation"),
        (
            "chat",
            "validation",
            "chart kind validation: not of a prediction, which is drawn as scaling, frontier, break-even, roofline, time, energy",
        ),
        ("listing", "roofline", "chart kind roofline: not of a catalogue, which is drawn as no chart"),
        ("listing", None, "there is no chart of a catalogue"),
    ],
)
def test_what_cannot_be_drawn_says_why(
    fixture: str, kind: str | None, message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        charts.draw(request.getfixturevalue(fixture), tmp_path / "x.svg", kind=kind)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["time", "energy", "frontier"])
def test_another_suffix_is_refused(kind: str, trade: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.gif: charts are drawn as \.png, \.svg, \.pdf"):
        charts.draw(trade, tmp_path / "x.gif", kind=kind)


def test_the_option_names_every_kind_of_predictions() -> None:
    help_text = typing.get_args(options.ChartKind)[1].help
    for name, kind in charts.KINDS.items():
        if "comparison" in kind.of:
            assert name in help_text
