"""Constants of power: what made-up rows tell, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.engine import roof
from roofline.studies.calibration import power
from roofline.studies.calibration.runs import Part
from roofline.studies.measured.table import SERVING, Case

ROW = {
    "id": "x", "chip": "h100-sxm", "num_chips": "1", "weight_dtype": "bf16", "phase": "e2e", "framework": "vllm",
    "input_len": "100", "output_len": "300", "mode": "server_concurrency", "metric": "avg_power_w_per_chip",
    "value": "500", "scope": "chip",
}  # fmt: skip
BATCHES = (1, 4, 16, 64, 128, 256)


@cache
def snapshot() -> Catalog:
    return Snapshot.of(Catalog())


def case(**cells: object) -> Case:
    text = ROW | {name: str(value) for name, value in cells.items()}
    return Case(text, {name: float(text[name]) if text.get(name) else None for name in SERVING.numbers})


def rows(**cells: object) -> list[Case]:
    return [case(model=model, batch=batch, **cells) for model in ("llama-3.1-8b", "qwen3-14b") for batch in BATCHES]


def parts(cases: list[Case], *, calibration: bool | None = None) -> list[Part]:
    return power.usable(cases, snapshot(), calibration=calibration).parts


def told(found: list[Part], **true: float) -> list[Part]:
    """The same with the power that chips with these constants would draw."""
    shares = snapshot().family("hopper").energy
    assert shares is not None
    moved = []
    for part in found:
        chip = part.where.chip
        assert chip.tdp is not None
        costs = replace(shares, **true).of(chip.tdp, chip.bandwidth, roof.peak(chip, "bf16"))  # type: ignore[arg-type]
        where = replace(part.where, chip=replace(chip, energy=costs))
        watts = np.exp(replace(part, where=where).errors()) * part.measured
        cases = [
            replace(one, numbers={**one.numbers, "value": float(value)})
            for one, value in zip(part.cases, watts, strict=True)
        ]
        moved.append(replace(part, cases=cases))
    return moved


def test_constants_follow_what_rows_tell() -> None:
    """Few rows are pulled back to where the fit starts: but the power is met, and more for bytes shows as more."""
    fits = []
    for byte, flop in ((80e-12, 2e-12), (200e-12, 1e-12)):
        found = power.fit_all(told(parts(rows()), per_byte=byte, per_flop=flop), snapshot())
        (own,) = [one for one in found if one.id == "hopper"]
        assert own.chips == ("h100-sxm",) == own.shares.measured_on
        assert own.fit.after < 0.08
        assert own.shares.rows == 64.0  # of the hardware, not fitted
        fits.append(own.shares)
    assert fits[0].per_byte is not None
    assert fits[1].per_byte is not None
    assert fits[0].per_byte < fits[1].per_byte


def test_a_kind_is_told_by_all_of_its_chips_and_a_family_by_its_own() -> None:
    found = power.fit_all(told(parts(rows())), snapshot())
    assert [one.id for one in found] == ["gpu", "hopper"]


def test_few_rows_tell_nothing() -> None:
    assert power.fit_all(parts(rows()[: power.FEWEST - 1]), snapshot()) == []


def test_work_is_done_at_the_stated_rate() -> None:
    """A chip at half of the predicted rate waits half of the time: it draws less, and its constants are the same."""
    plain = told(parts(rows()), base=0.2)
    slow = [half_as_fast(part, watts=0.2 * 700.0) for part in plain]
    one, other = (power.fit_all(found, snapshot())[1].shares for found in (plain, slow))
    for name in ("base", "per_byte", "per_flop"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=0.25), name


def half_as_fast(part: Part, watts: float) -> Part:
    """The same at half of its rate, and what it draws beyond so many watts halved with it."""
    rate = np.asarray(part.prediction().metrics["output_tokens_per_s"], dtype=np.float64)
    drawn = watts + (part.measured - watts) / 2.0
    cases = [
        replace(one, numbers={**one.numbers, "tokens_per_s": float(pace) / 2.0, "value": float(value)})
        for one, pace, value in zip(part.cases, rate, drawn, strict=True)
    ]
    return replace(part, cases=cases)


def test_only_boards_tell_power() -> None:
    energy = parts(rows(metric="j_per_output_token", value="1"))
    node = parts(rows(metric="avg_power_w_system", value="5000", scope="wall"))
    assert power.fit_all([*energy, *node], snapshot()) == []


def test_blocks_are_told_by_blocks() -> None:
    (found,) = [one for one in power.fit_all(told(parts(rows())), snapshot()) if one.id == "hopper"]
    assert power.BLOCK not in found.fit.free
    blocked = told(parts(rows(weight_dtype="fp8-block")))
    assert power.BLOCK in power.fit_all(blocked, snapshot())[0].fit.free


def test_rows_set_aside_are_left_out_and_said_so() -> None:
    both = rows()
    kept, aside = (power.usable(both, snapshot(), calibration=side) for side in (True, False))
    count = sum(len(part.cases) for part in (*kept.parts, *aside.parts))
    assert count == len(both)
    assert {item["reason"] for item in kept.skipped} <= {"set aside for scoring"}


def test_rows_of_time_are_no_rows_of_power() -> None:
    assert parts(rows(metric="tpot_ms", value="9")) == []
