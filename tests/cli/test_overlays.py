"""Files of one's own as a user has them: begun where they are found, completed, shown, checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roofline.cli import completion

Run = Callable[..., Any]


@pytest.fixture
def ok(run: Run) -> Callable[..., str]:
    """What a command prints that succeeds."""

    def command(*arguments: str) -> str:
        ran = run(*arguments)
        assert ran.code == 0, ran.err
        return str(ran.out)

    return command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_what_is_begun_in_a_project_is_found_by_name(ok: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ok("new", "chip", "my-npu", "--project").startswith(".roofline/hardware/chips/my-npu.yaml")
    assert ok("new", "model", "my-llm", "--project").startswith(".roofline/workloads/models/my-llm.yaml")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    ok("new", "system", "my-rack", "--project")
    assert (project / ".roofline" / "hardware" / "systems" / "my-rack.yaml").is_file()
    shown = json.loads(ok("show", "my-npu", "--format", "json"))
    assert (shown["origin"], shown["over"], shown["conflicts"]) == ("project", [], [])
    rows = json.loads(ok("compare", "my-llm", "my-npu", "2xmy-rack", "--format", "json"))["rows"]
    assert [row["deployment"]["num_chips"] for row in rows] == [1, 16]
    assert "my-rack" in ok("show", "systems", "--format", "csv")
    assert completion.complete_deployment("2xmy-") == ["2xmy-npu", "2xmy-rack"]
    assert completion.complete_model("my-") == ["my-llm"]
    assert "my-rack" in completion.complete_entry("my")
    ok("lint", str(project / ".roofline"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("chip", "l40s", "--project"),
            "note: it hides another l40s; to change only some of that, begin with 'extends: l40s'",
        ),
        (("model", "llama-3.1-8b", "--project"), "note: it hides another llama-3.1-8b"),
        (("chip", "my-npu", "--project"), ""),
        (("chip", "l40s"), ""),  # in no folder that is looked into
    ],
)
def test_a_new_file_that_hides_one_says_so(run: Run, project: Path, arguments: tuple[str, ...], told: str) -> None:
    ran = run("new", *arguments)
    assert ran.code == 0
    assert told in ran.err if told else "hides" not in ran.err


def test_what_is_begun_for_a_user_is_found_everywhere(
    ok: Run, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    ok("new", "chip", "my-npu", "--user")
    assert (tmp_path / "config" / "roofline" / "hardware" / "chips" / "my-npu.yaml").is_file()
    assert json.loads(ok("show", "my-npu", "--format", "json"))["origin"] == "user"
    assert completion.complete_deployment("my-") == ["my-npu"]


def test_names_of_the_environment_are_completed(ok: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chips").mkdir()
    ok("new", "chip", "my-npu", "--dir", str(tmp_path / "chips"))
    monkeypatch.setenv("ROOFLINE_HARDWARE_DIR", str(tmp_path))
    assert completion.complete_deployment("my-") == ["my-npu"]
    assert json.loads(ok("show", "my-npu", "--format", "json"))["origin"] == "ROOFLINE_HARDWARE_DIR"


def test_systems_are_completed_like_chips() -> None:
    assert completion.complete_deployment("4xdgx-h") == ["4xdgx-h100", "4xdgx-h200"]
    assert "systems" in completion.complete_entry("sys")


@pytest.mark.parametrize("places", [("--project", "--user"), ("--dir", ".", "--user"), ("--dir", ".", "--project")])
def test_one_place_is_enough(run: Run, project: Path, places: tuple[str, ...]) -> None:
    ran = run("new", "chip", "my-npu", *places)
    assert ran.code == 2
    assert "choose one" in ran.err
    assert list(project.iterdir()) == []


def test_conflicts_and_rules_are_told(ok: Run) -> None:
    shown = ok("show", "h100-sxm")
    assert "3.072 TB/s" in shown
    assert "stated before the launch" in shown
    assert "laid over" in shown
