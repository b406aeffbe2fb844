"""Results in notebooks: reports and charts that show themselves."""

from __future__ import annotations

import re
from typing import Any

import pytest

from roofline.errors import OutputError
from roofline.report.notebook import Figure, figure, repr_html


def test_a_report_brings_its_style_and_no_script(result: dict[str, Any]) -> None:
    markup = repr_html(result)
    assert type(markup) is str
    assert re.match(r'<div class="roofline"><style>/\*', markup)
    assert "<script" not in markup
    assert 'class="provenance"' not in markup


def test_names_that_are_not_unicode_can_be_shown(chat: dict[str, Any]) -> None:
    chat["deployment"]["label"] = "8x./\udcff.yaml"
    assert "8x./\\udcff.yaml" in repr_html(chat)


def test_a_figure_shows_itself(comparison: dict[str, Any]) -> None:
    first, other = figure(comparison), figure(comparison, "time")
    assert isinstance(first, Figure)
    assert "arithmetic intensity" in first._repr_svg_()
    assert "Where the time goes" in other._repr_svg_()
    assert re.fullmatch(r"Figure of [\d,]+ characters of SVG", repr(first))


def test_what_has_no_chart_says_so(lint: dict[str, Any], chat: dict[str, Any]) -> None:
    with pytest.raises(OutputError, match="there is no chart of a lint"):
        figure(lint)
    with pytest.raises(OutputError, match="needs --frontier"):
        figure(chat, "frontier")
