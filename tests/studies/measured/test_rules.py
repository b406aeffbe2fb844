"""Rules about sources: each holds for the rows that it means and for no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import roofline as rl
from roofline.studies.measured.rules import IDENTICAL, REQUESTS, Rules, RuleSpec, shipped_rules
from roofline.studies.measured.table import Case, SkipError, read, shipped

MakeCase = Callable[..., Case]


def rules(*specs: dict[str, Any]) -> Rules:
    return Rules(tuple(RuleSpec.model_validate(spec) for spec in specs))


# -- which rows


@pytest.mark.parametrize(
    ("spec", "cells", "meant"),
    [
        ({"source": "page"}, {}, True),
        ({"source": "Page"}, {}, False),
        ({"note": "[T3]"}, {"note": "[T3] second hand"}, True),
        ({"note": "[T3]"}, {}, False),
        ({"source": "page", "note": "[T3]"}, {"note": "[T3]", "source": "another"}, False),
        ({"software": "triton"}, {"software": "SGLang fused_moe_triton"}, True),
        ({"software": "triton"}, {}, False),
        ({"chips": ["h100-sxm", "h200-sxm"]}, {}, True),
        ({"chips": ["h200-sxm"]}, {}, False),
        ({"columns": {"batch": ["8", "16"]}}, {}, True),
        ({"columns": {"batch": ["16"]}}, {}, False),
        ({"columns": {"batch": ["8"], "framework": ["vLLM"]}}, {}, True),
        ({"columns": {"batch": ["8"], "framework": ["SGLang"]}}, {}, False),
        ({"columns": {"version": ["0.9"]}}, {}, False),
        ({}, {}, True),
    ],
)
def test_a_rule_holds_where_all_that_it_names_agrees(
    case: MakeCase, spec: dict[str, Any], cells: dict[str, str], meant: bool
) -> None:
    found = rules({**spec, "exclude": "for a reason"})
    if not meant:
        assert found.applied(case(**cells), "h100-sxm") == case(**cells)
        return
    with pytest.raises(SkipError, match=r"^for a reason$"):
        found.applied(case(**cells), "h100-sxm")


def test_a_chip_that_is_not_known_is_none_of_those_named(case: MakeCase) -> None:
    assert rules({"chips": ["h100-sxm"], "exclude": "x"}).applied(case(), None) == case()


# -- what they do


def test_a_date_is_filled_in_where_none_is_stated(case: MakeCase) -> None:
    found = rules({"source": "page", "date": "2024-11"})
    for text, expected in (("", "2024-11"), ("  ", "2024-11"), ("2023-05", "2023-05")):
        assert found.applied(case(date=text), None)["date"] == expected
    assert found.applied(case(), None)["date"] == "2024-11"


def test_the_first_date_stays(case: MakeCase) -> None:
    found = rules({"date": "2024-11"}, {"date": "2020"})
    assert found.applied(case(), None)["date"] == "2024-11"


def test_requests_can_be_known_to_be_identical(case: MakeCase) -> None:
    assert rules({"identical": True}).applied(case(), None)[IDENTICAL] == "yes"
    assert rules({"identical": False}).applied(case(), None)[IDENTICAL] == ""


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"), [("128", "2048", "3000"), ("2048", "128", ""), ("128", "", "7"), ("", "", "")]
)
def test_requests_are_counted_by_their_lengths(case: MakeCase, inputs: str, outputs: str, expected: str) -> None:
    found = rules({"requests": {"128/2048": 3000, "128/0": 7}}).applied(
        case(input_len=inputs, output_len=outputs), None
    )
    assert found[REQUESTS] == expected
    assert found.numbers[REQUESTS] == (float(expected) if expected else None)


def test_cells_are_read_otherwise_as_text_and_as_number(case: MakeCase) -> None:
    found = rules({"cells": {"num_chips": "4", "tp": "", "framework": "SGLang"}}).applied(case(tp="2"), None)
    assert (found["num_chips"], found["tp"], found["framework"]) == ("4", "", "SGLang")
    assert (found.numbers["num_chips"], found.numbers["tp"]) == (4.0, None)
    assert "framework" not in found.numbers
    assert {name for name in found.numbers if found.numbers[name] != case(tp="2").numbers[name]} == {"num_chips", "tp"}


def test_later_rules_see_what_earlier_ones_changed(case: MakeCase) -> None:
    found = rules({"cells": {"framework": "SGLang"}}, {"columns": {"framework": ["SGLang"]}, "exclude": "found"})
    with pytest.raises(SkipError, match="found"):
        found.applied(case(), None)


@pytest.mark.parametrize("spec", [{"date": "November"}, {"date": "2024-1"}, {"sources": "x"}, {"exclude": ""}])
def test_rules_are_checked(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rules(spec)


# -- those that ship


def test_what_rules_say_of_sources_is_of_some_row() -> None:
    """One without rows is one whose rows were renamed, and are now read otherwise."""
    cases = [case for path in shipped() for case in read(path).cases]
    for rule in filter(lambda rule: rule.exclude or rule.software or rule.requests, shipped_rules().rules):
        rows = [
            case
            for case in cases
            if rule.source in case["source"]
            and rule.note in case["note"]
            and rule.software in case["software"]
            and all(case[column] in values for column, values in rule.columns.items())
        ]
        assert rows, rule


def test_tables_of_ones_own_obey_the_shipped_rules_too(tmp_path: Path) -> None:
    rule = next(
        rule for rule in shipped_rules().rules if rule.exclude and rule.source and not rule.columns and not rule.chips
    )
    path = tmp_path / "mine.csv"
    path.write_text(
        "id,chip,model,weight_dtype,batch,input_len,output_len,mode,metric,value,source\n"
        f"a,h100-sxm,llama-3.1-8b,bf16,8,1000,100,fixed_batch,tpot_ms,9,see {rule.source} there\n"
        "b,h100-sxm,llama-3.1-8b,bf16,8,1000,100,fixed_batch,tpot_ms,9,mine\n"
    )
    result = rl.validate(path)
    assert [row["id"] for row in result["rows"]] == ["b"]
    assert result["skipped"] == [{"id": "a", "reason": rule.exclude}]
