"""Scenario files, and serving files that name one: what they say, and what is wrong with broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roofline.catalog.store import KINDS, Catalog
from roofline.errors import RooflineError, SpecError
from roofline.studies.lint import lint_file
from roofline.workload import Cached, Decode, Pause, Precision, Prefill

Write = Callable[..., Path]
SCENARIO = "id: s\nname: S\nsource: t\nsteps:\n{steps}\nsources: {{t: {{title: x, date: '2026'}}}}\n"
SERVING = "id: w\nname: W\nmodel: llama-3.1-8b\n"
SHIPPED = sorted(Catalog().files(KINDS["scenario"]))


def found(write: Write, steps: str, **_: str) -> list[str]:
    path = write(SCENARIO.format(steps=steps), "s.yaml")
    return [str(finding).removeprefix(f"{path}:") for finding in lint_file(path, Catalog())]


def test_there_are_scenarios_of_every_kind() -> None:
    wanted = {"chat", "long-document", "retrieval", "reasoning", "agent", "batch-offline", "code-completion"}
    assert wanted <= set(SHIPPED)
    assert sum(name.endswith("-speculative") for name in SHIPPED) >= 2


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_tells_where_its_lengths_were_read(catalog: Catalog, name: str) -> None:
    scenario = catalog.scenario(name)
    assert scenario.sources["lengths"].title
    assert scenario.sources["lengths"].date or scenario.sources["lengths"].url
    assert all(step.name for step in scenario.steps if not isinstance(step, Cached))
    job = scenario.of(catalog.model("llama-3.1-70b"), Precision())
    assert job.id == f"llama-3.1-70b-{name}"
    if any(isinstance(step, Decode) and step.hidden for step in scenario.steps):
        assert any(isinstance(step, Decode) and not step.hidden for step in scenario.steps)


def test_an_agent_reads_nearly_everything_from_the_cache(catalog: Catalog) -> None:
    """Of all tokens before its steps 95.8 % were cached in the source's sessions; 92 % and more elsewhere."""
    job = catalog.scenario("agent").of(catalog.model("llama-3.1-8b"), Precision())
    prompts = [(step.tokens, context) for step, context in zip(job.steps, job.contexts, strict=False) if isinstance(step, Prefill)]  # fmt: skip
    new, whole = (sum(sums) for sums in zip(*((tokens, tokens + context) for tokens, context in prompts), strict=True))
    assert 1 - new / whole > 0.92
    assert sum(isinstance(step, Pause) for step in job.steps) == 8


def test_steps_are_read_in_order(write: Write) -> None:
    steps = """\
  - {cached: 500, name: system}
  - {prefill: 70}
  - repeat: 2
    steps:
      - {decode: 32, name: call, hidden: true}
      - {pause: 150 ms}
  - {cached: 0}
  - {prefill: 9}
  - {decode: 5}"""
    path = write(SCENARIO.format(steps=steps), "s.yaml")
    assert lint_file(path, Catalog()) == []
    assert Catalog().scenario(str(path)).steps == (
        Cached(500.0, "system"),
        Prefill(70.0),
        *(Decode(32.0, "call", hidden=True), Pause(0.15)) * 2,
        Cached(0.0),
        Prefill(9.0),
        Decode(5.0),
    )


def test_repetitions_may_repeat(write: Write) -> None:
    path = write(SCENARIO.format(steps="  - repeat: 100\n    steps: [{repeat: 100, steps: [{decode: 1}]}]"), "s.yaml")
    assert len(Catalog().scenario(str(path)).steps) == 10_000


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("  - {prefill: 10, decode: 2}", "5:5: steps.0: must hold exactly one of prefill, decode, pause, cached, repeat"),
        ("  - {name: x}", "5:5: steps.0: must hold exactly one of"),
        ("  - {prefill: 10, hidden: true}", "5:5: steps.0: hidden goes with decode"),
        ("  - {decode: 10, hidden: 3}", "steps.0.hidden: must be true or false"),
        ("  - {decode: 10, nme: x}", "steps.0.nme: unknown key; did you mean 'name'?"),
        ("  - {decode: 10, name: Two Words}", "steps.0.name: must be small letters, digits and '-'"),
        ("  - {decode: 10, name: batch}", "steps.0.name: 'batch' is no name for a step"),
        ("  - {repeat: 3}", "steps.0: repeat and steps go together"),
        ("  - {decode: 3, steps: [{decode: 1}]}", "steps.0: repeat and steps go together"),
        ("  - {repeat: 2, name: x, steps: [{decode: 1}]}", "steps.0: name the steps inside"),
        ("  - {repeat: 0, steps: [{decode: 1}]}", "steps.0.repeat: must be between 1 and 10^15"),
        ("  - {repeat: 2, steps: [{decode: x}]}", "steps.0.steps.0.decode: must be a whole number, got 'x'"),
        ("  - {cached: -1}", "steps.0.cached: must be between 1 and 10^15"),
        ("  - {pause: 3}", "steps.0.pause: needs a unit"),
        ("  - {repeat: 9999999, steps: [{decode: 1}]}", "steps: are 10,001 with their repetitions, or more; 10,000 at most"),
        ("  - {prefill: 5}\n  - {cached: 9}", "6:5: steps.1: 9 tokens are cached, but the context has only 5 then"),
        ("  - {decode: 5, hidden: true}", "steps: hide everything that is generated"),
    ],
)  # fmt: skip
def test_a_broken_step_says_where_and_what_to_write(write: Write, steps: str, message: str) -> None:
    assert any(message in finding for finding in found(write, steps)), found(write, steps)


def test_a_serving_file_may_name_a_scenario(write: Write) -> None:
    plain = write(SERVING + "scenario: chat\n", "w.yaml")
    assert lint_file(plain, Catalog()) == []
    chat, scenario = Catalog().workload(str(plain)), Catalog().scenario("chat")
    own = Catalog().workload(str(write(SERVING + "scenario: chat\nbatch: 3\nslo: {tpot: 9 ms}\n", "w.yaml")))
    assert (chat.id, chat.steps, chat.batch, chat.slo) == ("w", scenario.steps, scenario.batch, scenario.slo)  # type: ignore[union-attr]
    assert (own.batch, own.slo.ttft_s, scenario.slo.ttft_s) == (3.0, None, 0.45)  # type: ignore[union-attr]
    assert chat.sources == scenario.sources


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("scenario: chat\nsource: t\nsteps: [{decode: 1}]\nsources: {t: {title: x}}\n", "leave one of them out"),
        ("", "needs steps, e.g. '- prefill: 2000', or a scenario"),
        ("steps: [{decode: 1}]\n", "needs a source: where the lengths were read"),
    ],
)
def test_a_serving_file_has_steps_or_a_scenario(write: Write, more: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Catalog().workload(str(write(SERVING + more, "w.yaml")))


def test_an_unknown_scenario_suggests(write: Write) -> None:
    with pytest.raises(RooflineError, match="no scenario 'chatt'; did you mean 'chat'"):
        Catalog().workload(str(write(SERVING + "scenario: chatt\n", "w.yaml")))


def test_a_scenario_alone_is_no_workload(catalog: Catalog) -> None:
    with pytest.raises(
        RooflineError, match="retrieval is a scenario and names no model; write MODEL DEPLOYMENT --scen"
    ):
        catalog.workload("retrieval")
