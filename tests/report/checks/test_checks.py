"""Checks as build servers read them: annotations, JUnit, SARIF; and the words that all of them say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.errors import OutputError
from roofline.report import formats
from roofline.report.checks import github, junit, render, words

Result = dict[str, Any]
ODD = "a,b:c%\r\n\x00\x1b[31m<]]>&\"'\ud800\uffff芯片"


def row(metric: str, before: float | str | None, now: float | str | None, **more: Any) -> Result:
    change = now / before - 1 if isinstance(before, float) and isinstance(now, float) else None
    status = "new" if before is None else "vanished" if now is None else "moved"
    return {
        "status": status, "deployment": "8xchip", "workload": "a-chat", "metric": metric, "before": before, "now": now,
        "change": change, "tolerance": 0.001, "causes": [{"kind": "chip", "name": "chip"}], "path": "roofline.baseline",
        "line": 7, **more,
    }  # fmt: skip


def checked(*, rows: list[Result] | None = None, promises: bool = True, updated: bool = False) -> Result:
    found = [row("tpot_s", 0.02, 0.021), row("tpot_s_low", 0.01, 0.03), row("decode_bound", "memory", "compute"),
             row("ttft_s", None, 1.0, path="roofline.toml"), row("power_w", 700.0, None)] if rows is None else rows  # fmt: skip
    case: Result = {"deployment": "8xchip", "workload": "a-chat", "same": 3, "new": 0, "vanished": 0, "moved": 0}
    for item in found:
        case[item["status"]] += 1
    still: Result = {"deployment": "still", "workload": "a-chat", "same": 8, "new": 0, "vanished": 0, "moved": 0}
    kept = {"deployment": "8xchip", "workload": "a-chat", "fits": True, "path": "roofline.toml", "line": 9}
    told = [{**kept, "assert": "tpot_s < 20 ms", "kept": False, "values": {"tpot_s": 0.021}},
            {**kept, "assert": "fits", "kept": True, "values": {"fits": True}},
            {**kept, "assert": "usd < 1", "kept": False, "fits": False, "values": {"usd": None}}]  # fmt: skip
    gate = {"measured": None, "group": "gpu decode", "cases": 1200, "error": "median_absolute_error", "value": 0.25,
            "limit": 0.2, "met": False, "path": "roofline.toml", "line": 12}  # fmt: skip
    counts = {name: case[name] + still[name] for name in ("same", "moved", "new", "vanished")}
    counts |= (
        {"kept": 1, "broken": 2, "met": 1, "missed": 1}
        if promises
        else dict.fromkeys(("kept", "broken", "met", "missed"), 0)
    )
    return {
        "schema": "roofline.check/1", "version": "0.2.0", "config": "roofline.toml", "baseline": "roofline.baseline",
        "before": "0.1.0", "updated": updated, "passed": not promises and (updated or not found), "counts": counts,
        "causes": [{"kind": "chip", "name": "chip", "rows": len(found)}] if found else [],
        "predictions": [case, still], "rows": found, "promises": told if promises else [],
        "gates": [gate, {**gate, "limit": 0.3, "met": True}] if promises else [], "notes": [],
    }  # fmt: skip


@pytest.fixture
def result() -> Result:
    return deepcopy(checked())


def odd(result: Result) -> Result:
    """The same with names that try to break things."""
    text = json.dumps(result)
    swapped: Result = json.loads(text.replace("8xchip", json.dumps(ODD)[1:-1]).replace("a-chat", json.dumps(ODD)[1:-1]))
    return swapped


# -- annotations


def test_annotations_stand_at_their_lines(result: Result) -> None:
    lines = github.render(result).splitlines()
    assert lines[0] == (
        "::error file=roofline.baseline,line=7,title=predictions%3A a-chat%2C 8xchip::5 of 8 figures not as before: "
        "decode_bound memory -> compute; ttft_s 1 s is not in the baseline; power_w 700 W is not predicted any more and 2 more; "
        "changed since: chip data of chip"
    )
    assert lines[1:] == [
        "::error file=roofline.toml,line=9,title=promises%3A a-chat%2C tpot_s < 20 ms on 8xchip::tpot_s < 20 ms is broken: tpot_s is 21 ms",
        "::error file=roofline.toml,line=9,title=promises%3A a-chat%2C usd < 1 on 8xchip::usd < 1 is broken: usd is not known; the deployment does not hold the workload",
        "::error file=roofline.toml,line=12,title=accuracy%3A shipped measurements%2C median error of gpu decode::median error of gpu decode, 25.0 %25 of 1,200 cases, is above 20.0 %25",
    ]


def test_paths_of_annotations_start_from_the_repository(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert "file=sub/roofline.toml,line=9" in github.render(result, root=str(tmp_path))


def test_what_github_would_not_show_is_counted(result: Result) -> None:
    result["promises"] *= 20
    lines = github.render(result).splitlines()
    assert len(lines) == 10
    assert re.match(r"::error title=roofline::and 33 more; check failed", lines[-1])


def test_a_notice_says_that_all_is_well() -> None:
    assert (
        github.render(checked(rows=[], promises=False))
        == "::notice title=roofline::check passed: 11 figures of 2 predictions; none moved\n"
    )


@settings(deadline=None)
@given(st.text(), st.text())
def test_no_text_ends_a_command_or_begins_another(message: str, name: str) -> None:
    line = f"::error file={github.value(name)}::{github.data(message)}"
    assert "\n" not in line
    assert "\r" not in line
    properties, _, data = line.removeprefix("::error file=").partition("::")
    assert not set(properties) & set(":,")
    for escaped, raw in ((data, message), (properties, name)):
        back = escaped.replace("%2C", ",").replace("%3A", ":") if raw is name else escaped
        assert back.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%") == raw


# -- JUnit: what the schemas of Ant (Windy Road, JUnit.xsd) and of Jenkins (xunit, junit-10.xsd) both allow

CHILDREN = {"testsuites": ["testsuite*"], "testsuite": ["properties", "testcase*", "system-out", "system-err"],
            "properties": ["property*"], "testcase": ["failure?"], "failure": [], "property": [], "system-out": [], "system-err": []}  # fmt: skip
WHOLE, TIME = r"\d+", r"\d+(\.\d+)?"
ATTRIBUTES = {
    "testsuites": {},
    "testsuite": {"name": ".+", "package": ".*", "id": WHOLE, "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "hostname": ".+",
                  "tests": WHOLE, "failures": WHOLE, "errors": WHOLE, "skipped": WHOLE, "time": TIME},
    "properties": {},
    "property": {"name": ".+", "value": ".*"},
    "testcase": {"name": ".*", "classname": ".*", "time": TIME},
    "failure": {"message": ".*", "type": ".+"},
    "system-out": {},
    "system-err": {},
}  # fmt: skip


def obeys(element: ET.Element) -> None:
    assert set(element.attrib) == set(ATTRIBUTES[element.tag]), element.tag
    for name, pattern in ATTRIBUTES[element.tag].items():
        assert re.fullmatch(pattern, element.attrib[name], re.DOTALL), (element.tag, name)
    order = "".join(
        f"({re.escape(part[:-1])} )[{part[-1]}]" if part[-1] in "*?" else f"({part} )" for part in CHILDREN[element.tag]
    )
    order = order.replace("[*]", "*").replace("[?]", "?")
    assert re.fullmatch(order, "".join(f"{child.tag} " for child in element)), element.tag
    for child in element:
        obeys(child)


def test_junit_is_what_both_schemas_allow(result: Result) -> None:
    root = ET.fromstring(junit.render(result, timestamp="2026-01-02T03:04:05"))
    obeys(root)
    suites = {suite.attrib["name"]: suite for suite in root}
    assert [suite.attrib["id"] for suite in root] == ["0", "1", "2"]
    assert {name: (suite.attrib["tests"], suite.attrib["failures"]) for name, suite in suites.items()} == {
        "predictions": ("2", "1"), "promises": ("3", "2"), "accuracy": ("2", "1"),
    }  # fmt: skip
    for suite in root:
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.attrib["tests"])
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"])
        assert suite.attrib["timestamp"] == "2026-01-02T03:04:05"
    failure = suites["predictions"].find("testcase/failure")
    assert failure is not None
    assert "tpot_s 20 ms -> 21 ms (+5 %)" in (failure.text or "")


def test_junit_holds_any_name(result: Result) -> None:
    text = junit.render(odd(result))
    obeys(ET.fromstring(text.encode("utf-8", "strict")))
    assert "\x00" not in text
    assert "\x1b" not in text


@settings(deadline=None)
@given(st.text())
def test_any_text_stays_text_in_xml(text: str) -> None:
    root = ET.fromstring(f"<a b={junit._quoted(text)}>{junit.text(text)}</a>".encode())
    allowed = junit._allowed(text)
    assert root.attrib["b"] == allowed
    assert (root.text or "") == allowed.replace("\r\n", "\n").replace("\r", "\n")


# -- SARIF


def test_sarif_has_what_the_standard_requires(result: Result) -> None:
    found = json.loads(render(odd(result), "sarif"))
    assert found["version"] == "2.1.0"
    assert found["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = found["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [item["ruleId"] for item in run["results"]] == ["moved", "broken", "broken", "missed"]
    for item in run["results"]:
        assert rules[item["ruleIndex"]] == item["ruleId"]
        place = item["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert item["message"]["text"]
    assert len({item["partialFingerprints"]["tested/v1"] for item in run["results"]}) == 4


# -- all


@pytest.mark.parametrize("form", ["github", "junit", "sarif"])
def test_formats_of_build_servers_are_of_checks_alone(form: str) -> None:
    with pytest.raises(OutputError, match=f"format {form}: only what 'roofline check' finds"):
        formats.render({"schema": "roofline.lint/1", "rows": []}, form)


@pytest.mark.parametrize("form", [*formats.FORMATS, "github", "junit", "sarif"])
def test_every_format_holds_any_name(result: Result, form: str) -> None:
    text = formats.render(odd(result), form, all_rows=True)
    assert text.encode("utf-8")
    if form in ("table", "junit"):
        assert "\x1b" not in text


@pytest.mark.parametrize(("path", "form"), [("a.xml", "junit"), ("b.SARIF", "sarif"), ("c.md", "markdown")])
def test_suffixes_mean_formats(path: str, form: str) -> None:
    assert formats.format_of(path) == form


def test_updates_fail_for_promises_alone() -> None:
    result = checked(updated=True)
    kinds = {item.suite for item in words.tested(result) if item.failed}
    assert kinds == {"promises", "accuracy"}


def test_figures_that_matter_come_first(result: Result) -> None:
    assert [item["metric"] for item in words.ordered(result["rows"])][-2:] == ["tpot_s", "tpot_s_low"]


def test_the_table_says_what_is_not_as_it_should_be(result: Result) -> None:
    text = formats.render(result, "table")
    assert text.startswith(
        "check failed: 15 figures of 2 predictions; 3 moved; 1 new; 1 vanished; promises: 1 kept, 2 broken; gates: 1 met, 1 missed\n"
    )
    assert "roofline.baseline is of roofline 0.1.0, this is 0.2.0" in text
    assert "changed since: chip data of chip (5 figures)" in text
    assert re.search(r"8xchip +a-chat +tpot_s +20 ms +21 ms +\+5 %", text)
    assert re.search(r"usd < 1 +8xchip +usd is not known; .* +broken", text)
    assert re.search(r"shipped +gpu decode +1,200 +median error +25.0 % +20.0 % +missed", text)
    assert "fits is yes" not in text
    assert "fits is yes" in formats.render(result, "table", all_rows=True)
    assert not re.search(r"\de[+-]\d", text)


def test_long_tables_are_cut_and_say_so() -> None:
    many = [row(f"m{index}", 1.0, 2.0 + index) for index in range(50)]
    text = formats.render(checked(rows=many), "table")
    assert "10 more (--all, or --format csv)" in text
    assert "more (--all" not in formats.render(checked(rows=many), "table", all_rows=True)


def test_causes_are_told_row_by_row_where_they_differ() -> None:
    rows = [row("tpot_s", 1.0, 2.0), row("ttft_s", 1.0, 2.0, causes=[{"kind": "stack", "name": "vllm@chip"}])]
    assert "changed since\n" in formats.render(checked(rows=rows), "table")
    assert "stack vllm on chip" in formats.render(checked(rows=rows), "table")


def test_csv_has_a_row_for_everything(result: Result) -> None:
    lines = formats.render(result, "csv").splitlines()
    assert len(lines) == 1 + 5 + 3 + 2
    assert lines[0].startswith("check,status,deployment,workload,metric,before,now,change,tolerance,causes,path,line")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("weight_bytes", 16.06e9, "16.06 GB"),
        ("power_w", 700.0, "700 W"),
        ("system_energy_j_per_token_low", 1.5, "1.5 J"),
        ("step_time_s", 12.3456789, "12.346 s"),
        ("output_tokens_per_s_per_chip", 1e15, "1,000,000,000,000,000"),
        ("tiny", 1.5e-9, "0.0000000015"),
        ("num_chips", 8.0, "8"),
        ("plan", "tp=8", "tp=8"),
        ("mfu", None, "-"),
    ],
)
def test_figures_are_told_as_what_they_are(name: str, value: float | str | None, text: str) -> None:
    assert words.figure(name, value) == text
