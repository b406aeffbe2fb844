"""One rank of several: a process that exchanges messages with others as it is told to, and times that.

Tasks are read line by line from standard input, answers go to standard output; what libraries print goes to standard
error. When there is nothing more to read, whoever asked has ended, and so does this.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from roofline.studies.measuring import system

GRACE = 3.0  # s for leaving others in good order once there is nothing more to do
WIDTH = 4  # B of a value
LONGEST = 160  # characters of a reason

Task = Mapping[str, Any]


class Rank:
    """A process among others, with a device of its own, groups of the first so many ranks, and values to send."""

    def __init__(self, task: Task) -> None:
        import torch

        self.torch, self.links = torch, torch.distributed
        on_cpu = task["carrier"] == "gloo"
        if on_cpu:
            torch.set_num_threads(_settled(task["rank"], task["count"]))
        else:
            torch.cuda.set_device(task["device"])
        self.device = "cpu" if on_cpu else f"cuda:{task['device']}"
        self.wait: Callable[[], None] = (lambda: None) if on_cpu else torch.cuda.synchronize
        self.links.init_process_group(
            task["carrier"], store=self.links.FileStore(task["store"], task["count"]), rank=task["rank"],
            world_size=task["count"], timeout=timedelta(seconds=task["limit"]),
        )  # fmt: skip
        self.groups = {count: self.links.new_group(list(range(count))) for count in task["groups"]}
        self.token = torch.zeros(1, device=self.device)
        for count, group in self.groups.items():  # connections are made when they are first used
            if task["rank"] < count:
                self.links.all_reduce(self.token, group=group)
        self.wait()
        self.held: tuple[Any, Any] = (self.token, self.token)

    def hold(self, size: int) -> None:
        """Values of that many bytes to send, and room for as many that come."""
        self.held = (self.token, self.token)
        count = size // WIDTH
        source, target = (self.torch.zeros(count, device=self.device) for _ in range(2))
        self.held = (source.fill_(0.0), target.fill_(0.0))  # written to, or it were promised memory, not memory

    def seconds(self, op: str, ranks: int, size: int, calls: int) -> float:
        """Of one call of several in a row, which all ranks begin together."""
        group = self.groups[ranks]
        run = self._call(op, group, size // WIDTH, size // WIDTH // ranks)
        self.links.all_reduce(self.token, group=group)
        self.wait()
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        self.wait()
        return (time.perf_counter() - begin) / calls

    def _call(self, op: str, group: Any, whole: int, part: int) -> Callable[[], object]:
        """A collective: `whole` values of its larger buffer, `part` of them for or from each rank."""
        source, target = self.held
        return {
            "allreduce": lambda: self.links.all_reduce(source[:whole], group=group),
            "allgather": lambda: self.links.all_gather_into_tensor(target[:whole], source[:part], group=group),
            "reducescatter": lambda: self.links.reduce_scatter_tensor(target[:part], source[:whole], group=group),
            "alltoall": lambda: self.links.all_to_all_single(target[:whole], source[:whole], group=group),
        }[op]

    def leave(self) -> None:
        """Part from the others."""
        self.links.destroy_process_group()


def _settled(rank: int, count: int) -> int:
    """How many cores each rank has to itself, this one moved to the memory that is its turn where there are several
    (sockets, mostly): what joins those is what ranks are to exchange messages across."""
    nodes = system.nodes()
    if len(nodes) > 1:
        os.sched_setaffinity(0, nodes[rank % len(nodes)])  # type: ignore[attr-defined, unused-ignore]
    beside = -(-count // max(len(nodes), 1))  # ranks that share these cores
    return max(system.available_cores() // beside, 1)


def main() -> None:
    """Do tasks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked is told, and ends this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    rank: Rank | None = None
    while line := tasks.get():
        task = json.loads(line)
        try:
            answer: dict[str, object] = {}
            if task["do"] == "join":
                rank = Rank(task)
            elif rank and task["do"] == "hold":
                rank.hold(task["bytes"])
            elif rank:
                answer = {"seconds": rank.seconds(task["op"], task["ranks"], task["bytes"], task["calls"])}
        except Exception as error:
            answer = {"error": _reason(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if rank:
        rank.leave()


def _read(tasks: queue.Queue[str]) -> None:
    """Pass on what there is to do; what still waits for others when there is nothing more is ended."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put("")
    time.sleep(GRACE)
    os._exit(1)


def _reason(error: Exception) -> str:
    """The first line of what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return told[:LONGEST]


if __name__ == "__main__":
    main()
