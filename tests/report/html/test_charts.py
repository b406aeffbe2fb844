"""Charts of pages: the same data as the charts that are drawn into files, inside their frames, each mark with its words."""

from __future__ import annotations

import math
import re
from copy import deepcopy
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.report.charts import contrast as contrast_chart
from roofline.report.charts import roofline as roofline_chart
from roofline.report.charts import time as time_chart
from roofline.report.charts import validation as validation_chart
from roofline.report.html import bars, svg
from roofline.report.html.plot import Mark, Plot, decades
from roofline.report.html.plots import PLOTS, figures_of, roofline, scaling

Result = dict[str, Any]


def drawn(result: Result) -> list[ElementTree.Element]:
    """The figures of a result, each well-formed."""
    return [ElementTree.fromstring(str(figure)) for figure in figures_of(result)]


def found(figure: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [item for item in figure.iter() if kind in item.get("class", "").split()]


def told(figure: ElementTree.Element) -> list[str]:
    return [item.findtext("title") or "" for item in found(figure, "mark") if item.find("title") is not None]


@pytest.fixture
def curve(training: Result) -> Result:
    rows = [{"num_chips": 8 * 2**at, "tokens_per_s": 1e4 * 1.8**at, "efficiency": 0.9**at} for at in range(4)]
    return {**training, "scaling": {"kind": "strong", "rows": rows, "cliff": rows[2], "stopped": None}}


@pytest.fixture
def plan(chat: Result) -> Result:
    def point(user: float, chip: float, kept: bool) -> Result:
        return {"tokens_per_s_per_user": user, "tokens_per_s_per_chip": chip, "kept": kept, "num_chips": 8, "batch": 4.0,
                "plan": {"tp": 8.0}}  # fmt: skip

    chip = chat["deployment"]["chip"]
    points = [point(100.0, 10.0, True), point(50.0, 100.0, True), point(10.0, 500.0, False)]
    limits = [{"limit": "tpot", "unit": "s", "bound": 0.03, "least": False, "promised": False}]
    return {"schema": "roofline.plan/1", "workload": chat["workload"], "limits": limits,
            "frontier": [{"chip": chip, "written": "a", "points": points}, {"chip": "b", "written": "b", "points": []}],
            "rows": [{**chat, "figures": points[1], "batch": 4.0}]}  # fmt: skip


def test_every_operator_of_the_chart_is_a_mark_with_its_figures(chat: Result) -> None:
    (roofs,) = roofline_chart.roofs_of([chat])
    (plot,) = roofline.plots([chat])
    assert {(mark.x, mark.y, mark.area) for mark in plot.marks} == {
        (point.intensity, point.rate, point.area) for point in roofs.points
    }
    up = next(mark for mark in plot.marks if mark.told[0].startswith("prefill ffn/up"))
    assert up.told[1:] == (
        "1,667 FLOP/B",
        "1.06 PFLOP/s attained",
        "53.5 % of the roof above",
        "64.1 % of the phase's time",
    )
    assert (up.shape, up.name) == ("o", "ffn/up")


def test_roofs_run_over_their_ridges(chat: Result) -> None:
    (plot,) = roofline.plots([chat])
    solid = next(line for line in plot.lines if line.style == "solid")
    assert solid.points[1] == pytest.approx((1.979e15 / 3.35e12, 1.979e15))
    assert solid.points[0][1] == pytest.approx(solid.points[0][0] * 3.35e12)
    assert [line.style for line in plot.lines] == ["dotted", "dashed", "solid"]  # the drop, the L2, the roof
    assert {note.words.split()[0] for note in plot.notes} == {"L2", "HBM3", "ridge", "bound"}


def test_several_deployments_have_a_colour_and_an_end_each(comparison: Result) -> None:
    (plot,) = roofline.plots(comparison["rows"])
    assert [end.series for end in plot.ends] == [0, 1, 2]
    assert ["does not fit" in " ".join(end.figures) for end in plot.ends] == [False, False, True]
    assert {mark.series for mark in plot.marks} == {0, 1}
    assert not any(mark.name for mark in plot.marks)


def test_of_many_deployments_every_name_has_room(comparison: Result) -> None:
    rows = [deepcopy(comparison["rows"][0]) for _ in range(14)]
    for at, row in enumerate(rows):
        row["deployment"]["label"] = f"chip-{at}"
        row["roofs"]["peak_flops_per_s"] *= 1.0 + at / 50.0
    figure = drawn({**comparison, "rows": rows})[0]
    names = [item for item in found(figure, "name") if (item.text or "").startswith("chip-")]
    heights = sorted(float(re.findall(r"-?[\d.]+", item.get("transform", ""))[1]) for item in names)
    assert len(heights) == 14
    assert min(below - above for above, below in pairwise(heights)) > 14.0


def test_a_chip_whose_roofs_are_not_known_has_no_chart(chat: Result) -> None:
    chat["roofs"]["peak_flops_per_s"] = None
    assert list(roofline.plots([chat])) == []
    assert len(drawn(chat)) == 1  # where the time goes


def test_phases_of_a_contrast_are_marks_below_their_roofs(contrast: Result) -> None:
    panels = contrast_chart.panels_of(contrast["rows"])
    plots = list(PLOTS["contrast"](contrast))
    assert [plot.title for plot in plots] == ["Roofline of training", "Roofline of inference"]
    for plot, roofs in zip(plots, panels.values(), strict=True):
        assert {(mark.x, mark.y) for mark in plot.marks} == {
            (p.intensity, p.rate) for roof in roofs for p in roof.points
        }
    assert "all of a step" in plots[0].marks[0].told
    assert "25.0 % of a request's time" in plots[1].marks[0].told


def test_every_case_of_a_validation_is_a_mark(validation: Result) -> None:
    panels = validation_chart.panels_of(validation["rows"])
    plots = list(PLOTS["validation"](validation))
    assert [len(plot.marks) for plot in plots] == [len(rows) for rows in panels.values()] == [4, 1]
    far = next(mark for mark in plots[0].marks if mark.told[0] == "far")
    assert far.told[1:] == ("8 x a-chip", "a-model-70b, tpot_ms", "100 ms predicted", "10 ms measured", "+900.0 % off")
    assert (far.x, far.y) == (0.01, 0.1)


def test_what_is_traded_and_kept(trade: Result, trades: Result, plan: Result) -> None:
    (plot,) = PLOTS["frontier"]([trade])
    assert [mark.face for mark in plot.marks].count("ring") == 1
    assert "hollow" in [mark.face for mark in plot.marks]
    assert any(line.style == "dashed" for line in plot.lines)  # what is promised
    assert len(list(PLOTS["frontier"](trades["rows"]))) == 2  # dollars, and chip-seconds
    (pareto,) = PLOTS["pareto"](plan)
    assert [mark.face for mark in pareto.marks] == ["full", "full", "hollow", "ring"]
    assert pareto.marks[-1].told == ("a", "8 x tp8, 4 requests at once", "50 tokens/s for a user",
                                     "100 tokens/s of a chip", "keeps the limits")  # fmt: skip
    assert list(PLOTS["pareto"]({**plan, "frontier": []})) == []


def test_a_curve_is_marked_where_it_drops_most(curve: Result) -> None:
    (plot,) = scaling.plots(curve)
    assert [mark.series for mark in plot.marks] == [0, 0, 1, 0]
    assert [words for _, words in plot.x.ticks] == ["8", "16", "32", "64"]
    assert plot.marks[1].told == ("16 chips", "18,000 tokens/s", "90.0 % efficient")
    assert list(scaling.plots({**curve, "scaling": {**curve["scaling"], "rows": []}})) == []


def test_bars_are_as_long_as_their_parts(comparison: Result) -> None:
    panels = list(time_chart.panels_of(comparison["rows"]))
    figure = drawn(comparison)[-1]
    parts = [part for panel in panels for bar in panel.bars for part in bar.parts]
    rects = [item.find("rect") for item in found(figure, "part")]
    widths = [float(rect.get("width", "nan")) for rect in rects if rect is not None]
    assert len(widths) == len(parts)
    first = panels[0].bars[0]
    for width, part in zip(widths, first.parts, strict=False):
        assert width / widths[0] == pytest.approx(part.value / first.parts[0].value, rel=0.02)
    assert "does not fit" in "".join(figure.itertext())


@pytest.mark.parametrize(
    "name", ["chat", "training", "comparison", "contrast", "trade", "trades", "validation", "curve", "plan"]
)
def test_figures_are_well_formed_and_marks_within_them(name: str, request: pytest.FixtureRequest) -> None:
    figures = drawn(deepcopy(request.getfixturevalue(name)))
    assert figures
    for figure in figures:
        picture = next(item for item in figure.iter() if item.tag == "svg")
        _, _, width, height = map(float, picture.get("viewBox", "").split())
        marks = [item for item in found(figure, "mark") if item.get("tabindex")]
        assert marks
        for mark in marks:
            x, y = map(float, re.findall(r"-?[\d.]+", mark.get("transform", ""))[:2])
            assert 0 <= x <= width
            assert 0 <= y <= height
            assert mark.get("role") == "img"
        groups = found(figure, "marks")
        assert all([mark.get("tabindex") for mark in group].count("0") == 1 for group in groups if len(group))
        assert all("\n" in words for words in told(figure))
        for item in figure.iter():
            for value in item.attrib.values():
                assert "nan" not in value
                assert "inf" not in value.replace("inference", "")


def test_names_beside_marks_do_not_lie_on_each_other(chat: Result) -> None:
    (figure, _) = drawn(chat)
    names = found(figure, "point")
    places = [tuple(map(float, re.findall(r"-?[\d.]+", name.get("transform", "")))) for name in names]
    assert len(names) > 3
    for at, (x, y) in enumerate(places):
        for other, (to_x, to_y) in enumerate(places[:at]):
            apart = (len(names[at].text or "") + len(names[other].text or "")) * svg.LETTER * svg.SMALL / 2
            assert abs(x - to_x) >= apart or abs(y - to_y) >= 12.0


@given(
    st.floats(1e-9, 1e18),
    st.floats(1.5, 1e12),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=12),
)
def test_any_marks_can_be_drawn(low: float, span: float, shares: list[tuple[float, float]]) -> None:
    axis = decades("x", low, low * span, "{:g}".format)
    marks = tuple(
        Mark(low * span**across, low * span**up, at, ("a", "b"), name=f"mark {at}")
        for at, (across, up) in enumerate(shares)
    )
    figure = ElementTree.fromstring(str(svg.render(Plot("any", axis, axis, marks=marks))))
    assert len(told(figure)) == len(marks)
    assert all(low <= value <= low * span for value, _ in axis.ticks)


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e9), st.floats(0.0, 1.0))
def test_axes_are_logarithmic(low: float, span: float, share: float) -> None:
    axis = decades("x", low, low * span, str)
    assert axis.share(low * span**share) == pytest.approx(share, abs=1e-9)
    assert math.isclose(axis.share(low), 0.0, abs_tol=1e-12)


def test_greys_are_shades() -> None:
    assert [bars.shade(color) for color in ("0.0", "1.0", "#D55E00")] == ["#000000", "#ffffff", "#D55E00"]
