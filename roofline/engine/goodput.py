"""What a long training job makes of its time: failures, checkpoints against them, and chips that lag behind.

Arithmetic of seconds, with no model and no step in it. Failures come one by one at a constant rate (Poisson), and any
failure of any chip stops the whole job. Daly 2006, "A higher order estimate of the optimum checkpoint interval for
restart dumps", Future Generation Computer Systems 22 (3), 303-312, doi 10.1016/j.future.2004.11.016: a job of `W`
seconds of work lasts `M·exp(R/M)·(exp((τ + δ)/M) − 1)·W/τ` on average, with `M` seconds between failures, `R` to
restart, and `δ` for a checkpoint after every `τ` of work. A restart may fail as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.machine import Chip
from roofline.numeric import Num, larger, smaller, where
from roofline.workload import Training

# Seconds that stand for "at once", "never saves" and "never fails" where a quotient of the real ones has no value.
AT_ONCE, NEVER_SAVES, NEVER_FAILS = 1e-100, 1e100, 1e200


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """What a job makes of its time: `share` of it is work that stays, `job_mtbf` [s] lie between failures, checkpoints
    follow `interval` [s] of work, and every step takes `slowdown` times what it would if all chips were alike."""

    share: Num
    job_mtbf: Num
    interval: Num
    slowdown: Num

    @property
    def stretch(self) -> Num:
        """How many times as long the job lasts as its steps would by themselves; infinite if it gets nowhere."""
        with np.errstate(divide="ignore"):
            return np.divide(self.slowdown, self.share)


def job_mtbf(chip_mtbf: Num, num_chips: Num) -> Num:
    """Seconds between failures of a job: its chips fail independently, and one is enough.

    >>> job_mtbf(50_000.0, 1_000.0)
    50.0
    """
    return chip_mtbf / num_chips


def checkpoint_stall(state_bytes: Num, storage_bandwidth: Num) -> Num:
    """Seconds in which a checkpoint is written: bytes of a chip [B] over its share of the storage's bandwidth [B/s].

    >>> checkpoint_stall(4e9, 0.5e9)
    8.0
    """
    return state_bytes / storage_bandwidth


def optimal_interval(stall: Num, mtbf: Num) -> Num:
    """Seconds of work between checkpoints of `stall` seconds with which a job of that `mtbf` [s] is done soonest.

    `√(2δM)·(1 + √(δ/2M)/3 + (δ/2M)/9) − δ` (Daly 2006); its first factor is Young's (1974, doi 10.1145/361147.361115).
    Nothing while checkpoints are free, infinite while nothing fails. Daly takes M from `δ = 2M` on, where hardly any
    work is done; here the series stays at its value there, 0.89·M, so that the share of useful time does not jump.
    """
    written = smaller(larger(stall, AT_ONCE), 2.0 * mtbf)
    ratio = written / (2.0 * mtbf)
    best = np.sqrt(2.0 * written * mtbf) * (1.0 + np.sqrt(ratio) / 3.0 + ratio / 9.0) - written
    return where(stall > 0.0, best, 0.0)


def useful_share(interval: Num, stall: Num, restart: Num, mtbf: Num) -> Num:
    """Share of a job's time that is work which no failure undoes, 0 to 1; all arguments in seconds.

    Daly's time, turned over, is a product of three shares: of restarts `exp(−R/M)`, of checkpoints `τ/(τ + δ)`, and of
    what is done again `z/(exp(z) − 1)`, with `z = (τ + δ)/M` failures expected from one checkpoint to the next.

    >>> round(float(useful_share(3600.0, 60.0, 0.0, np.inf)), 4)  # nothing fails: checkpoints are all that it costs
    0.9836
    """
    work, between = smaller(larger(interval, AT_ONCE), NEVER_SAVES), smaller(larger(mtbf, AT_ONCE), NEVER_FAILS)
    failures = (work + stall) / between
    running: Num = np.exp(-restart / between)
    working: Num = 1.0 / (1.0 + stall / work)
    lasting: Num = failures * np.exp(-failures) / -np.expm1(-failures)  # z/(exp(z) - 1), safe from overflow
    return running * working * lasting


def unknown(training: Training, chip: Chip) -> str | None:
    """Why nothing is known of a job's failures, for a reader of its time to train; None if enough is."""
    if training.operations is None:
        return f"{training.id} states no operations: failures, checkpoints and stragglers are not counted"
    if chip.mtbf is None:
        return f"how often a job on {chip.id} fails is not known: failures, checkpoints and stragglers are not counted"
    return None


def effective(training: Training, chip: Chip, num_chips: Num) -> Goodput | None:
    """What a training run on so many chips makes of its time; None where `unknown` says why.

    Steps take `slowdown` times as long as without stragglers, and the run lasts `stretch` times as long as its steps.
    """
    operations = training.operations
    if operations is None or chip.mtbf is None:
        return None
    mtbf = job_mtbf(chip.mtbf, num_chips)
    stall, interval = operations.checkpoint_stall, operations.checkpoint_interval
    if interval is None:
        interval = optimal_interval(stall, mtbf)
    return Goodput(
        share=useful_share(interval, stall, operations.restart, mtbf),
        job_mtbf=mtbf,
        interval=interval,
        slowdown=1.0 + operations.stragglers,
    )
