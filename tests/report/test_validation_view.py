"""The view of a validation: every group with its figures, what beats physics, the worst cases, what was skipped."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.report import formats
from roofline.report.views.validation import signed


def lines(result: dict[str, Any], **options: Any) -> list[str]:
    return formats.render(result, "table", **options).splitlines()


def cells(result: dict[str, Any], first: str, **options: Any) -> list[str]:
    """The cells of the line that begins with a word."""
    found = next(line for line in lines(result, **options) if line.startswith(first))
    return [cell for cell in found.split("  ") if cell.strip()]


def test_a_group_has_a_line_with_all_its_figures(validation: dict[str, Any]) -> None:
    heads = [cell.strip() for cell in cells(validation, "chip_kind")]
    assert heads == ["chip_kind", "batch", "cases", "median error", "90th percentile", "bias", "inside interval",
                     "beat ideal"]  # fmt: skip
    assert [cell.strip() for cell in cells(validation, "all")] == [
        "all",
        "5",
        "12.3 %",
        "50.0 %",
        "-2.3 %",
        "87.5 %",
        "1",
    ]
    assert [cell.strip() for cell in cells(validation, "gpu")] == [
        "gpu", "-", "4", "12.3 %", "50.0 %", "-2.3 %", "-", "1",
    ]  # fmt: skip
    assert cells(validation, "tpu")[1].strip() == "32"


@pytest.mark.parametrize(
    ("split", "left_out", "text"),
    [
        ("scoring", 1234, "only rows that no constant was fitted to; 1,234 of the other side left out (--split all)"),
        ("calibration", 0, "only rows that constants were fitted to: no evidence of how well others are predicted"),
        ("all", 0, "all rows, among them those of a shipped table that constants were fitted to"),
    ],
)
def test_the_side_that_is_shown_is_said(validation: dict[str, Any], split: str, left_out: int, text: str) -> None:
    assert text in lines({**validation, "split": split, "left_out": left_out})


def test_the_worst_are_off_by_the_largest_factor_either_way(validation: dict[str, Any]) -> None:
    found = lines(validation, worst=2)
    start = next(index for index, line in enumerate(found) if line.startswith("worst cases"))
    assert [line.split()[0] for line in found[start + 1 : start + 3]] == ["too-slow", "far"]
    assert found[start + 3] == ""


def test_what_beats_physics_is_listed(validation: dict[str, Any]) -> None:
    text = "\n".join(lines(validation))
    assert "1 case beats the ideal bound: the datum or the model is wrong" in text
    assert [cell.strip() for cell in cells(validation, "impossible")] == [
        "impossible", "8xa-chip", "gemm", "matmul", "time_us", "12", "10", "1.2",
    ]  # fmt: skip
    for row in validation["rows"]:
        row["beats_ideal"] = False
    assert "no case beats the ideal bound" in lines(validation)


def test_more_offenders_than_are_listed_are_counted(validation: dict[str, Any]) -> None:
    for row in validation["rows"]:
        row["beats_ideal"] = True
    assert "5 cases beat the ideal bound: the datum or the model is wrong (3 more with --all)" in lines(
        validation, worst=2
    )


def test_reasons_are_counted_and_those_not_shown_too(validation: dict[str, Any]) -> None:
    assert [cell.strip() for cell in cells(validation, "batch is not stated")] == ["batch is not stated", "3"]
    assert "and 3 for 3 other reasons (--all)" in lines(validation)
    assert sum(line.startswith("chip ") for line in lines(validation)) == 7
    assert sum(line.startswith("chip ") for line in lines(validation, all_rows=True)) == 10


def test_all_lists_every_case(validation: dict[str, Any]) -> None:
    assert "close" not in "\n".join(lines(validation, worst=2))
    assert cells(validation, "close", all_rows=True)


def test_brief_is_the_summary_alone(validation: dict[str, Any]) -> None:
    text = "\n".join(lines(validation, brief=True))
    assert "5 published cases predicted, 13 skipped" in text
    assert "1 case beats the ideal bound" in text
    for other in ("worst cases", "impossible", "skipped because"):
        assert other not in text


def test_without_columns_to_group_by_there_is_one_line(validation: dict[str, Any]) -> None:
    found = {**validation, "by": [], "summary": validation["summary"][:1]}
    assert cells(found, "group")[0] == "group"
    assert cells(found, "all")[1].strip() == "5"


def test_signs_are_shown_and_what_is_unknown() -> None:
    assert (signed(0.05), signed(-0.05), signed(None)) == ("+5.0 %", "-5.0 %", "-")
