"""Charts of a contrast: files of every kind, the same bytes for the same figures, what is drawn and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from roofline.errors import OutputError
from roofline.report import charts
from roofline.report.charts.contrast import contrast_chart, panels_of
from roofline.report.charts.elasticities import BARS, elasticities_chart, gains
from roofline.studies.elasticity import RESOURCES

Result = dict[str, Any]
STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
BOTH = pytest.mark.parametrize("draw", [contrast_chart, elasticities_chart])


@BOTH
@pytest.mark.parametrize("suffix", STARTS)
def test_the_same_figures_give_the_same_bytes(
    draw: Callable[..., None], suffix: str, contrast: Result, tmp_path: Path
) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw(contrast, first)
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "red"}):
        draw(contrast, second)
    assert first.read_bytes().startswith(STARTS[suffix])
    assert first.read_bytes() == second.read_bytes()


@BOTH
def test_another_suffix_is_refused(draw: Callable[..., None], contrast: Result, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.gif: charts are drawn as"):
        draw(contrast, tmp_path / "x.gif")
    draw(contrast, tmp_path / "temporary", suffix=".svg")
    assert (tmp_path / "temporary").read_bytes().startswith(STARTS[".svg"])


def drawn(draw: Callable[..., None], result: Result, folder: Path) -> str:
    draw(result, folder / "x.svg")
    return (folder / "x.svg").read_text(encoding="utf-8")


def test_training_and_inference_have_a_panel_each(contrast: Result, tmp_path: Path) -> None:
    panels = panels_of(contrast["rows"])
    first, second = contrast["suits"][0]["name"], contrast["suits"][1]["name"]
    assert {title: [roof.label for roof in roofs] for title, roofs in panels.items()} == {
        "training": [first],
        "inference": [first, second],
    }
    assert [[point.phase for point in roof.points] for roof in panels["inference"]] == [["prefill", "decode"]] * 2
    (prefill, decode) = panels["inference"][0].points
    assert (prefill.share, decode.share) == (0.25, 0.75)
    assert decode.area > prefill.area
    assert (decode.intensity, decode.rate) == (30.0, 3e13)
    assert panels["training"][0].color == panels["inference"][0].color != panels["inference"][1].color
    svg = drawn(contrast_chart, contrast, tmp_path)
    for text in ("Training and inference of a-model-70b", "inference", "1.98 PFLOP/s fp8", "3.35 TB/s, ridge 591",
                 "arithmetic intensity [FLOP per byte of main memory]", "roofline 0.1.0", "datasheet: 8xchip-with"):  # fmt: skip
        assert text in svg


def test_phases_are_named_with_their_share_of_the_roof_above(contrast: Result, tmp_path: Path) -> None:
    (row, *_) = contrast["rows"]
    row["deployment"]["label"] = "short"
    contrast["rows"] = [row]
    assert "training 62.5 %" in drawn(contrast_chart, contrast, tmp_path)
    row["intensity"] |= {"arithmetic_intensity": 59.07, "attained_flops_per_s": 1e13}
    assert "training 5.1 %" in drawn(contrast_chart, contrast, tmp_path)  # of the slope: 3.35 TB/s


def test_the_charts_of_a_contrast_are_drawn_by_its_schema(contrast: Result, tmp_path: Path) -> None:
    charts.draw(contrast, tmp_path / "a.svg")
    contrast_chart(contrast, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@BOTH
def test_what_is_not_known_leaves_an_empty_chart(draw: Callable[..., None], contrast: Result, tmp_path: Path) -> None:
    for row in contrast["rows"]:
        if row["fits"]:
            row["roofs"]["peak_flops_per_s"] = None
            row["worth"] = []
    assert "1.98 PFLOP/s" not in drawn(draw, contrast, tmp_path)
    contrast["rows"] = []
    assert drawn(draw, contrast, tmp_path)


@BOTH
def test_more_deployments_than_a_palette_has(draw: Callable[..., None], contrast: Result, tmp_path: Path) -> None:
    rows = [row for row in contrast["rows"] if row["fits"]]
    contrast["rows"] = [{**row, "name": f"{row['name']}{index}"} for index in range(10) for row in rows]
    assert drawn(draw, contrast, tmp_path)


def test_bars_are_the_gains_of_each_resource(contrast: Result, tmp_path: Path) -> None:
    assert set(BARS) == set(RESOURCES)
    first, second = contrast["suits"][0]["name"], contrast["suits"][1]["name"]
    assert gains(contrast["rows"], first, "training")["flops"] == 0.3757
    assert gains(contrast["rows"], second, "training") == {}
    svg = drawn(elasticities_chart, contrast, tmp_path)
    for text in (
        "+38 %",
        "+36 %",
        "2x FLOP/s",
        "2x memory bandwidth",
        "more tokens/s",
        "training",
        "prefill",
        "decode",
    ):
        assert text in svg
    assert svg.count("+38 %") == 1
