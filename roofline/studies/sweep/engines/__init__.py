"""Where chunks are priced: by processes of this machine, or by the workers of a cluster; the answers are the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from roofline.errors import RooflineError, did_you_mean
from roofline.studies.sweep.chunks import Work
from roofline.studies.sweep.engines import dask, local
from roofline.studies.sweep.engines.engine import Engine

LOCAL, DASK = "local", "dask"


def chosen(
    name: str | None = None, *, scheduler: str | None = None, jobs: int | None = None
) -> Callable[[Work], AbstractContextManager[Engine]]:
    """How the engine of that name is begun; a scheduler alone means a cluster. `RooflineError` for what is at odds."""
    name = name or (LOCAL if scheduler is None else DASK)
    if name not in (LOCAL, DASK):
        near = did_you_mean(name, (LOCAL, DASK))
        raise RooflineError(f"--engine {name}: " + (f"did you mean {near}?" if near else f"write {LOCAL} or {DASK}"))
    if name == LOCAL:
        if scheduler is not None:
            raise RooflineError(f"--scheduler {scheduler}: belongs to --engine {DASK}; leave one of them out")
        if jobs is not None and jobs < 1:
            raise RooflineError(f"--jobs {jobs}: must be 1 or more")
        return lambda work: nullcontext(local.engine(work, jobs))
    if scheduler is None:
        raise RooflineError(f"--engine {DASK}: say where the cluster's scheduler is: --scheduler {dask.EXAMPLE}")
    if jobs is not None:
        raise RooflineError(f"--jobs {jobs}: are processes of this machine; of a cluster, all workers are used")
    return partial(dask.engine, address=scheduler)
