"""This machine turned into a chip file: timed, fitted, written, read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from roofline import __version__, files
from roofline.catalog.overlay import known
from roofline.catalog.store import Catalog
from roofline.machine.chip import ATTENTION, DECODE_ATTENTION, ELEMENTWISE, EXPERTS, MATMUL
from roofline.studies.calibrate import ALL, CALIBRATION_SCHEMA, CHIP
from roofline.studies.calibration.fitting import error
from roofline.studies.calibration.kernels import LINK
from roofline.studies.calibration.overlay import TIMES
from roofline.studies.measured import table
from roofline.studies.measured.table import Table
from roofline.studies.measuring import chip_file, fitting
from roofline.studies.measuring.backends import Backend
from roofline.studies.measuring.collectives import ranks_of
from roofline.studies.measuring.fitting import SCOPE, Fitted, Rates
from roofline.studies.measuring.measure import Measured, Watch, measure, rows

BUDGET = 60.0  # s


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was timed, the rates and constants found, and the texts of chip file and table."""

    name: str
    measured: Measured
    rates: Rates
    fitted: Fitted
    chip: str
    rows: str


def calibrate(
    backend: Backend,
    path: Path,
    catalog: Catalog,
    *,
    budget: float = BUDGET,
    ranks: int | None = None,
    watch: Watch = lambda share, what: None,
) -> dict[str, Any]:
    """The contract's calibration of this machine, written as a chip file with the table of timings beside it.

    `budget` are seconds for timing, `ranks` the processes between which collectives are timed, by default one for each
    device that there is. `OutputError` if a file can't be written, before anything is timed; `RooflineError` for more
    ranks than there can be, or if so little could be timed that no constant follows. What stops it, stops it before
    either file is touched.
    """
    among = ranks_of(backend, ranks)
    name, beside = chip_file.id_of(path), path.with_suffix(".csv")
    for place in (path, beside):
        files.check(place)
    found = outcome(measure(backend, budget, watch, ranks=among), name, catalog)
    written = files.put({beside: found.rows, path: found.chip})
    return report(found, beside.name, written)


def outcome(measured: Measured, name: str, catalog: Catalog) -> Outcome:
    """What timings tell: the chip as it was reached, then what kernels reach of that; read back before it is shown."""
    found = fitting.rates(measured)
    rows_text = chip_file.table_text(rows(measured, name))
    bare = chip_file.chip_text(name, measured, found)
    with known(name, bare, catalog) as with_it:
        fitted = fitting.fit(_read(rows_text), with_it, with_it.chip(name))
    text = chip_file.chip_text(name, measured, found, fitted)
    with known(name, text, catalog) as with_it:
        with_it.chip(name)
    return Outcome(name, measured, found, fitted, text, rows_text)


def _read(text: str) -> Table:
    """A table as whoever reads the file will find it."""
    with TemporaryDirectory(prefix="roofline-") as folder:
        path = Path(folder) / "rows.csv"
        path.write_text(text, encoding="utf-8")
        return table.read(path)


def _unfitted(found: Outcome) -> Iterator[str]:
    """What was timed too seldom for constants."""
    told = {name.partition("/")[0] for name in found.fitted.fits}
    links = (LINK + SCOPE,) if found.rates.joined else ()
    wanted = (MATMUL, EXPERTS, ATTENTION, DECODE_ATTENTION, ELEMENTWISE, *links)
    missing = [kind for kind in wanted if kind not in told]
    if missing:
        yield f"too few timings of {', '.join(missing)}: constants of other chips of its kind stand in; raise --budget"


def _links(found: Outcome) -> Iterator[dict[str, Any]]:
    """What joins ranks, as the file states it."""
    if joined := found.rates.joined:
        yield {
            "name": chip_file.between(found.measured),
            "scope": SCOPE,
            "topology": joined.topology,
            "ranks": joined.ranks,
            "bandwidth_bytes_per_s": joined.bandwidth,
            "timings": joined.timings,
            "software": joined.software,
        }


def report(found: Outcome, beside: str, written: list[Path]) -> dict[str, Any]:
    """What a run found, as the contract's calibration."""
    measured, machine, rates, fits = found.measured, found.measured.machine, found.rates, found.fitted.fits.values()
    errors = found.fitted.errors
    constants = {
        f"{name}_s" if name.rpartition(".")[2] in TIMES else name: value
        for fit in fits
        for name, value in fit.values.items()
    }
    return {
        "schema": CALIBRATION_SCHEMA,
        "version": __version__,
        "machine": {
            "name": machine.name,
            "kind": machine.kind,
            "device": measured.backend.device,
            "software": measured.backend.software,
            "compute_units": machine.units,
            "clock_hz": machine.clock,
            "capacity_bytes": machine.memory,
            "tdp_w": machine.tdp,
            "peaks": dict(rates.peaks),
            "bandwidths": {**rates.caches, "main memory": rates.main},
            "links": [*_links(found)],
            "timings": len(measured.timed),
            "seconds": measured.seconds,
            "budget_s": measured.budget,
            "complete": measured.complete,
            "spread": measured.spread,
            "warnings": [*measured.warnings, *_unfitted(found)],
            "errors": {entry: fit.after for entry, fit in found.fitted.fits.items()},
        },
        "files": [
            {"name": beside, "sha256": sha256(found.rows.encode()).hexdigest(), "kind": "kernels",
             "rows": len(measured.timed), "split": ALL}
        ],
        "rows": [
            {
                "subject": CHIP,
                "id": found.name,
                "level": "",
                "rows": found.fitted.rows,
                "median_error_before": error(found.fitted.starts),
                "median_error_after": error(errors),
                "left_out": "shape",
                "left_out_rows": 0,
                "median_error_left_out": None,
                "constants": constants,
            }
        ],
        "skipped": [{"id": what, "reason": reason} for what, reason in measured.left_out.items()],
        "written": [str(path) for path in written],
        "removed": [],
    }  # fmt: skip
