"""Chunks on the workers of a Dask cluster that runs already.

A task brings all that a chunk rests on, resolved here, and takes back bytes: a worker needs no file of this machine,
and no catalogue. It refuses if its program or its arithmetic is not that of this one, so that the result is the same
to the last bit. Tasks are bytes to everybody but a worker: a scheduler needs no roofline, and a worker without it fails
in the task alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import pickle
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

import roofline
from roofline.errors import EngineError
from roofline.studies import fingerprint
from roofline.studies.sweep.chunks import Part, Tally, Work, to_bytes
from roofline.studies.sweep.columns import Table, Words
from roofline.studies.sweep.engines.engine import in_order

CONNECT = 5.0  # seconds in which a scheduler has to answer
PATIENCE = 60.0  # seconds without any worker
LOOK = 1.0  # seconds between looks at whether there are workers
FETCH = 120.0  # seconds in which the bytes of a chunk have to come
SAMPLE = 3  # blocks by which a worker shows that it comes to the same numbers
EXAMPLE = "tcp://127.0.0.1:8786"


@contextmanager
def engine(work: Work, address: str) -> Iterator[Cluster]:
    """The cluster of the scheduler at an address; `EngineError` if there is none."""
    try:
        from distributed import Client
    except ImportError:
        raise EngineError("--engine dask needs Dask: pip install 'roofline[dask]'") from None
    _check_scheduler(address)
    with _silent("distributed.client"):
        try:
            client = Client(address, timeout=CONNECT, set_as_default=False)
        except OSError:
            raise _unanswered(address) from None
        with client:
            yield Cluster(work, address, client)


def _check_scheduler(address: str) -> None:
    """`EngineError` if nobody answers there as a scheduler."""
    from distributed import Security
    from distributed.core import rpc

    async def identity() -> Any:
        keys = Security().get_connection_args("client")  # of tls://, as Dask is configured
        async with rpc(address, timeout=CONNECT, connection_args=keys) as found:
            return await asyncio.wait_for(found.identity(), CONNECT)

    try:
        with ThreadPoolExecutor(1) as aside:  # a notebook has a loop of its own in this thread
            found = aside.submit(lambda: asyncio.run(identity())).result()
    except (OSError, asyncio.TimeoutError):
        raise _unanswered(address) from None
    except (ValueError, TypeError) as error:
        raise EngineError(f"--scheduler {address}: {error}; write e.g. {EXAMPLE}") from None
    except MemoryError:  # the length of a message, read from what is none
        raise EngineError(f"--scheduler {address}: what answers there is no scheduler of Dask") from None
    if found.get("type") != "Scheduler":
        raise EngineError(f"--scheduler {address}: is a {str(found.get('type')).lower()}; name its scheduler")


def _unanswered(address: str) -> EngineError:
    return EngineError(
        f"--scheduler {address}: no scheduler answers within {CONNECT:g} s; start one with 'dask scheduler' and "
        f"workers with {_start(address)}, or correct the address"
    )


def _start(address: str) -> str:
    return f"'dask worker {address} --nworkers auto --nthreads 1'"


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without what a logger says: whoever asked is told in an error."""

    def refuse(_: logging.LogRecord) -> bool:
        return False

    logging.getLogger(name).addFilter(refuse)
    try:
        yield
    finally:
        logging.getLogger(name).removeFilter(refuse)


@dataclass(frozen=True)
class Cluster:
    """The workers that there are at any time."""

    work: Work
    address: str
    client: Any

    @property
    def processes(self) -> int:
        """Threads of all workers; `EngineError` if there are none."""
        found = self._threads()
        if not found:
            raise self._deserted("there is no worker")
        return found

    def written(self, begin: int, place: Callable[[int], Path]) -> Generator[Part]:
        """As of every engine; workers make the bytes, this process writes them."""
        for part, found in self._answers(to_bytes, begin):
            place(part.chunk).write_bytes(found)
            del found  # not kept while the next are waited for
            yield part

    def reduced(self, begin: int) -> Generator[tuple[Table, Tally]]:
        """As of every engine."""
        yield from self._answers(Work.reduced, begin)

    def _answers(self, do: Callable[[Work, int], Any], begin: int) -> Iterator[Any]:
        """What `do` makes of each chunk; nothing of it is left on the cluster, however it ends."""
        name, parcel, asked = f"roofline-{uuid4().hex}", _packed(self.work), set[Any]()

        def submit(chunk: int) -> Promised:
            self._check_open()
            task = pickle.dumps(Call(done, (do, parcel, chunk)))
            future = self.client.submit(pickle.loads, task, key=f"{name}-{chunk}", priority=-chunk, pure=False)
            asked.add(future)
            return Promised(self, chunk, future, asked)

        try:
            yield from in_order(submit, range(begin, self.work.chunks), lambda: max(self._threads(), 1))
        finally:
            if asked:
                with suppress(Exception):  # a scheduler that is gone has forgotten them
                    self.client.cancel(list(asked), force=True)

    def wait(self, chunk: int, future: Any) -> Any:
        """The answer for a chunk; `EngineError` if it does not come, or not from a worker like this process."""
        from distributed import KilledWorker

        try:
            return self._wait(future)
        except CancelledError:
            raise self._gone() from None
        except KilledWorker as error:
            raise EngineError(
                f"chunk {chunk}: worker after worker died of it, the last at {error.last_worker.address}, perhaps for "
                "want of memory; start fewer on a machine, with --nthreads 1"
            ) from None
        except (OSError, MemoryError) as error:
            raise EngineError(f"chunk {chunk}: a worker failed: {error or type(error).__name__}") from None
        except (ImportError, AttributeError, TypeError):
            self._check_workers()
            raise

    def _wait(self, future: Any) -> Any:
        from distributed import TimeoutError, wait

        alone = 0.0  # since when there is no worker
        while True:
            try:
                with self.client.as_current():
                    wait([future], timeout=LOOK)
                return future.result(timeout=FETCH)
            except TimeoutError:
                alone = 0.0 if self._threads() else alone or time.monotonic()
                if alone and time.monotonic() - alone > PATIENCE:
                    raise self._deserted(f"there has been no worker for {PATIENCE:g} s") from None

    def _check_open(self) -> None:
        if self.client.status == "closed":  # by itself, having waited for the scheduler in vain
            raise self._gone()

    def _threads(self) -> int:
        self._check_open()
        try:
            return sum(self.client.nthreads().values())
        except OSError:
            raise self._gone() from None

    def _gone(self) -> EngineError:
        return EngineError(f"{self.address}: the scheduler is gone, or has dropped what it was asked for")

    def _deserted(self, told: str) -> EngineError:
        return EngineError(f"{self.address}: {told}; start some with {_start(self.address)}")

    def _check_workers(self) -> None:
        """`EngineError`, naming the first, if workers have no roofline, or one that is too old to be asked."""
        found: Mapping[str, Any] = self.client.run(pickle.loads, pickle.dumps(Call(ready, ())), on_error="return")
        for worker, answer in found.items():
            if isinstance(answer, Exception):
                raise EngineError(f"worker {worker}: {answer}; {_INSTALL}") from None


@dataclass(frozen=True)
class Promised:
    """The answer for a chunk that was asked for."""

    cluster: Cluster
    chunk: int
    future: Any
    asked: set[Any]

    def result(self) -> Any:
        """Wait for it; the cluster then forgets it."""
        found = self.cluster.wait(self.chunk, self.future)
        self.asked.discard(self.future)
        return found


# --- on a worker ----------------------------------------------------------------------------------------------------

_INSTALL = "install the same roofline[dask] there, and start it anew"


@dataclass(frozen=True)
class Call:
    """A call that is made where it is unpickled."""

    do: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return self.do, self.arguments


def ready() -> bool:
    """Whether this program is there at all."""
    return True


def done(do: Callable[[Work, int], Any], parcel: bytes, chunk: int) -> Any:
    """What `do` makes of a chunk; `EngineError` if it would be something else than where the work comes from."""
    return do(_unpacked(parcel), chunk)


def _packed(work: Work) -> bytes:
    """A work, and how to tell whether a worker makes the same of it; plain enough for other versions to read."""
    told = {
        "version": roofline.__version__,
        "program": fingerprint.program(),
        "libraries": _libraries(work.form),
        "numbers": _numbers(work),
        "work": zlib.compress(pickle.dumps(work)),
    }
    return pickle.dumps(told)


@lru_cache(maxsize=4)
def _unpacked(parcel: bytes) -> Work:
    from distributed import get_worker

    told = pickle.loads(parcel)
    where = f"worker {get_worker().address}"
    if told["program"] != fingerprint.program():
        known, wanted = roofline.__version__, told["version"]
        other = f"roofline {known} instead of {wanted}" if known != wanted else f"another code of roofline {known}"
        raise EngineError(f"{where} runs {other}; {_INSTALL}")
    for name, wanted in told["libraries"].items():
        found = _version(name)
        if found != wanted:
            raise EngineError(f"{where} has {name} {found} instead of {wanted}, which writes other bytes")
    work: Work = pickle.loads(zlib.decompress(told["work"]))
    if _numbers(work) != told["numbers"]:
        raise EngineError(
            f"{where} comes to other numbers in the last digits (with numpy {np.__version__}); use the same numpy and "
            "the same kind of processor everywhere"
        )
    return work


def _libraries(form: str) -> dict[str, str]:
    """Versions of what bytes of a format depend on."""
    return {"pyarrow": _version("pyarrow")} if form == "parquet" else {}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _numbers(work: Work) -> str:
    """A hash of the numbers of a few blocks: processors and libraries may round otherwise."""
    digest = hashlib.sha256()
    for index in work.grid.spread(SAMPLE):
        panel, block = work.grid.block(index)
        for values in work.kept(panel.mesh(block))[0].values():
            digest.update(np.ascontiguousarray(values.codes if isinstance(values, Words) else values).tobytes())
    return digest.hexdigest()
