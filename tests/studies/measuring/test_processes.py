"""Processes that die, hang, refuse or babble: the reason is said, nobody waits without end, none is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from roofline.studies.measuring import processes
from roofline.studies.measuring.processes import LostError, Processes, RefusedError

DOES = """
import json, os, sys, time
for line in sys.stdin:
    task = json.loads(line)
    if task["do"] == "die":
        print("\\nlast words\\n", file=sys.stderr, flush=True)
        os._exit(3)
    if task["do"] == "hang":
        time.sleep(60)
    if task["do"] == "babble":
        print("hello", flush=True)
    if task["do"] == "fall":
        os.kill(os.getpid(), 9)
    if task["do"] == "refuse":
        print(json.dumps({"error": "not today"}), flush=True)
    if task["do"] == "double":
        print(json.dumps({"value": 2 * task["value"]}), flush=True)
"""
COMMAND = (sys.executable, "-I", "-S", "-c", DOES)
LONG = 20.0  # s: never waited for if all is well


def tasks(*names: str) -> list[Mapping[str, object]]:
    return [{"do": name, "value": rank + 1} for rank, name in enumerate(names)]


def started(found: Processes) -> list[subprocess.Popen[bytes]]:
    return [*found._started]


def test_each_answers_its_own_task() -> None:
    with Processes(COMMAND, 3, os.environ) as found:
        own = started(found)
        for _ in range(2):
            answers = found.ask(tasks("double", "double", "double"), LONG)
            assert [answer["value"] for answer in answers] == [2, 4, 6]
        assert [answer["value"] for answer in found.ask(tasks("double"), LONG)] == [2]
    assert [process.returncode for process in own] == [0, 0, 0]  # by themselves, at the end of their tasks


def test_a_task_can_be_refused_and_the_next_one_done() -> None:
    with Processes(COMMAND, 2, os.environ) as found:
        with pytest.raises(RefusedError, match=r"^not today$"):
            found.ask(tasks("double", "refuse"), LONG)
        assert [answer["value"] for answer in found.ask(tasks("double", "double"), LONG)] == [2, 4]


@pytest.mark.parametrize(
    ("second", "limit", "reason"),
    [
        ("die", LONG, r"process 2 of 2 ended with exit code 3: last words"),
        ("fall", LONG, r"process 2 of 2 ended by signal 9$"),
        ("hang", 0.3, r"process 2 of 2 did not answer for 0.3 s$"),
        ("babble", LONG, r"process 2 of 2 gave no answer that could be read"),
    ],
)
def test_what_becomes_of_one_is_said_and_ends_all(second: str, limit: float, reason: str) -> None:
    own: list[subprocess.Popen[bytes]] = []

    def ask() -> None:
        with Processes(COMMAND, 2, os.environ) as found:
            own.extend(started(found))
            found.ask(tasks("double", second), limit)

    with pytest.raises(LostError, match=reason):
        ask()
    assert len(own) == 2
    assert None not in [process.returncode for process in own]


def test_who_waits_for_one_that_refused_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    with (
        pytest.raises(LostError, match=r"process 1 of 2 did not answer for 20 s: not today"),
        Processes(COMMAND, 2, os.environ) as found,
    ):
        found.ask(tasks("hang", "refuse"), LONG)


def test_one_that_has_ended_can_not_be_asked() -> None:
    with Processes(COMMAND, 1, os.environ) as found:
        with pytest.raises(LostError, match="ended"):
            found.ask(tasks("die"), LONG)
        with pytest.raises(LostError, match="all processes have ended"):
            found.ask(tasks("double"), LONG)


def test_an_interruption_leaves_none() -> None:
    own: list[subprocess.Popen[bytes]] = []

    def interrupted() -> None:
        with Processes(COMMAND, 2, os.environ) as found:
            own.extend(started(found))
            found._started[0].stdin.write(b'{"do": "hang"}\n')  # type: ignore[union-attr]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert None not in [process.returncode for process in own]


def test_a_command_that_there_is_not() -> None:
    with pytest.raises(LostError, match="no process could be started: No such file"):
        Processes(("no-such-command-anywhere",), 2, os.environ)
