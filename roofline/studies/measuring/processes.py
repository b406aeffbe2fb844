"""Processes of this machine that do one task after another and answer each: whatever becomes of one, none is waited for
without end, and none outlives the others.

Tasks and answers are lines of JSON through pipes, so that nothing listens anywhere.
"""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

GRACE = 5.0  # s for others to answer once one could not, and to end once there is nothing more to do
LONGEST = 160  # characters of what a process said before it ended

Message = Mapping[str, Any]


class LostError(Exception):
    """Processes that can't go on, and why."""


class RefusedError(Exception):
    """A task that a process could not do, though it goes on, and why."""


class Processes:
    """`count` processes of one command that answer each line that they read with one of theirs.

    An answer that says `error` refuses its task. End of input tells a process to end.
    """

    def __init__(self, command: Sequence[str], count: int, environment: Mapping[str, str]) -> None:
        self._answers: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self._errors: list[IO[bytes]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []
        try:
            for rank in range(count):
                self._start(rank, command, environment)
        except OSError as error:
            self.close(GRACE)
            raise LostError(f"no process could be started: {error.strerror or error}") from None
        except BaseException:
            self.close(0.0)
            raise

    def _start(self, rank: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._errors.append(tempfile.TemporaryFile())  # noqa: SIM115
        started = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors[-1], env=environment
        )
        self._started.append(started)
        self._readers.append(threading.Thread(target=self._read, args=(rank, started.stdout), daemon=True))
        self._readers[-1].start()

    def _read(self, rank: int, answers: IO[bytes]) -> None:
        """Pass on what a process answers, last that it has ended."""
        for line in answers:
            self._answers.put((rank, line))
        self._answers.put((rank, b""))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(GRACE if kind is None else 0.0)

    def close(self, patience: float) -> None:
        """Let them end by themselves for so many seconds, then end them."""
        end = time.monotonic() + patience
        try:
            for started in self._started:
                with suppress(OSError):
                    started.stdin.close()  # type: ignore[union-attr]
            for started in self._started:
                with suppress(subprocess.TimeoutExpired):
                    started.wait(max(end - time.monotonic(), 0.0))
        finally:
            for started in self._started:
                started.kill()
                started.wait()
            for reader in self._readers:
                reader.join()
            for started in self._started:
                started.stdout.close()  # type: ignore[union-attr]
            for said in self._errors:
                said.close()
            self._started, self._readers, self._errors = [], [], []

    def ask(self, tasks: Sequence[Message], limit: float) -> list[Message]:
        """What the first processes answer to a task each, within `limit` seconds.

        `RefusedError` if one could not do its task; `LostError`, after which there are none, if one ended or did not
        answer.
        """
        try:
            found = self._asked(tasks, limit)
        except LostError:
            self.close(0.0)
            raise
        refused = next((str(answer["error"]) for _, answer in sorted(found.items()) if "error" in answer), None)
        if refused is not None:
            raise RefusedError(refused)
        return [answer for _, answer in sorted(found.items(), key=lambda item: item[0])]

    def _asked(self, tasks: Sequence[Message], limit: float) -> dict[int, Message]:
        if not self._started:
            raise LostError("all processes have ended")
        for rank, task in enumerate(tasks):
            try:
                pipe = self._started[rank].stdin
                pipe.write(json.dumps(task).encode() + b"\n")  # type: ignore[union-attr]
                pipe.flush()  # type: ignore[union-attr]
            except OSError:
                raise self._ended(rank) from None
        return self._answered(len(tasks), limit)

    def _answered(self, count: int, limit: float) -> dict[int, Message]:
        found: dict[int, Message] = {}
        end = time.monotonic() + limit
        while len(found) < count:
            try:
                rank, line = self._answers.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                late = min({*range(count)} - {*found})
                told = next((f": {answer['error']}" for answer in found.values() if "error" in answer), "")
                raise LostError(f"{self._named(late)} did not answer for {limit:g} s{told}") from None
            if not line:
                raise self._ended(rank)
            try:
                found[rank] = json.loads(line)
            except ValueError:
                raise LostError(f"{self._named(rank)} gave no answer that could be read") from None
            if "error" in found[rank]:  # others may wait for it in vain
                end = min(end, time.monotonic() + GRACE)
        return found

    def _ended(self, rank: int) -> LostError:
        """With what it said last."""
        with suppress(subprocess.TimeoutExpired):
            self._started[rank].wait(GRACE)
        said = self._errors[rank]
        said.seek(0)
        lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        last = "".join(char if char.isprintable() else "?" for char in lines[-1])[:LONGEST] if lines else ""
        code = self._started[rank].returncode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return LostError(f"{self._named(rank)} ended {how}{last and f': {last}'}")

    def _named(self, rank: int) -> str:
        return f"process {rank + 1} of {len(self._started)}"
