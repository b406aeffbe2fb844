"""examples/custom-asic: its frontier is one, its budgets hold, its designs are what chip files of them are, and its page
says what it prints."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import roofline as rl

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "custom-asic"
FILE, PAGE, FIGURE = FOLDER / "study.yaml", FOLDER / "README.md", FOLDER / "frontier.svg"
BLOCK = re.compile(
    r"```console\n\$ python examples/custom-asic/study.py (?P<arguments>[^\n]*)\n(?P<printed>.*?)```", re.S
)
AXES = {  # 10,240 designs
    "compute": "200..1100TFLOP/s:4", "stacks": "2,4,6,8", "sram": "0..960MB:4", "link": "100..1000GB/s:4",
    "tdp": "350..1050W:8", "price": "5000..45000USD:5",
}  # fmt: skip


@pytest.fixture(scope="module")
def modules() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("designs"), importlib.import_module("study")


@pytest.fixture(scope="module")
def small(modules: Any) -> Any:
    designs, _ = modules
    study = designs.read(FILE, axes=AXES)
    served = designs.serve(study)
    return study, served, *designs.price(study, served)


def test_ten_thousand_designs_are_all_accounted_for(small: Any) -> None:
    study, served, cheapest, priced = small
    assert int(np.prod(study.shape)) == 10_240
    assert served.why.size * 40 == 10_240
    assert np.array_equal(served.why == 0, np.isfinite(served.rate))
    assert 0 < priced < 40 * np.count_nonzero(served.why == 0)
    assert len(cheapest) == 5


def test_no_member_of_the_frontier_is_beaten(small: Any) -> None:
    _, served, _, _ = small
    members = [(item.user, item.chip) for item in served.trades]
    for one in members:
        assert not any(other != one and other[0] >= one[0] and other[1] >= one[1] for other in members)
    best = {(item.plan, item.batch) for item in served.trades}
    rates = served.rate[np.isfinite(served.rate)]
    assert len(best) > 5
    assert rates.max() <= max(chip for _, chip in members)


def test_the_budgets_hold(modules: Any, small: Any) -> None:
    designs, _ = modules
    study, served, cheapest, _ = small
    areas = study.areas.total(study.silicon).ravel()
    for item in served.trades:
        assert areas[item.die] <= 814.0
    for item in cheapest:
        assert areas[item.die] <= 814.0
        assert item.tdp <= 700.0
        asked = designs.operating(study, served, study.silicon, np.array([item.die]))
        found = study.predict(*asked, item.tdp, item.price)
        assert np.max(designs.drawn(found)) <= item.tdp
        assert study.job.slo.kept(found.metrics["ttft_s"], found.metrics["tpot_s"]).all()
        assert np.max(asked[2]) <= np.max(found.max_batch)


def test_a_design_is_what_its_chip_file_is(modules: Any, small: Any, tmp_path: Path) -> None:
    designs, _ = modules
    study, served, cheapest, _ = small
    dies = [(item.die, item.tdp, item.price) for item in cheapest[::4]]
    dies.append((next(item.die for item in served.trades[::-1] if served.why.ravel()[item.die] == 0), 650.0, 9e3))
    dies.append(
        (int(np.flatnonzero((study.silicon.sram.ravel() > 0) & np.isfinite(served.rate.ravel()))[0]), 550.0, 1e4)
    )
    for die, tdp, price in dies:
        design, plan, batch = designs.operating(study, served, study.silicon, np.array([die]))
        path = tmp_path / "winner.yaml"
        path.write_text(json.dumps(study.file(design.at(0), tdp, price)))
        degrees = ",".join(f"{name}={getattr(plan, name)[0]:.0f}" for name in ("tp", "pp", "dp"))
        alone = rl.predict(study.job.id, f"8x{path}:{degrees}", batch=float(batch[0]))
        meshed = study.predict(design, plan, batch, tdp, price).metrics
        for name in ("ttft_s", "tpot_s", "output_tokens_per_s_per_chip", "energy_j_per_token", *designs.COSTS):
            assert alone["metrics"][name] == float(np.max(meshed[name])), name
        assert alone["metrics"]["output_tokens_per_s_per_chip"] == served.rate.ravel()[die]


def test_each_die_does_the_best_of_all_plans_and_batches(modules: Any) -> None:
    """Again, one plan and one batch at a time."""
    designs, _ = modules
    axes = {**AXES, "compute": "800TFLOP/s,1PFLOP/s", "stacks": "1,6", "sram": "0B,64MB", "link": "300GB/s"}
    study = designs.read(FILE, axes=axes)
    served = designs.serve(study)
    plans = [designs.plans.pick(study.plans, index) for index in range(study.plans.tp.size)]
    for die in np.ndindex(served.rate.shape):
        design, best = study.silicon.at(die), np.nan
        if study.areas.total(design) <= 814.0:
            for plan in plans:
                found = study.predict(design, plan, study.batches, 700.0, 1.0)
                kept = study.job.slo.kept(found.metrics["ttft_s"], found.metrics["tpot_s"])
                kept = kept & (study.batches <= found.max_batch) & (designs.drawn(found) <= 700.0)
                rates = np.broadcast_to(found.metrics["output_tokens_per_s_per_chip"], kept.shape)[kept]
                best = np.fmax(best, rates.max() if rates.size else np.nan)
        assert np.array_equal(served.rate[die], best, equal_nan=True)


def test_the_areas_of_the_reference_make_its_die(modules: Any) -> None:
    """Interfaces by hand, at 98.3 million transistors a mm²: 16.1 mm² a stack, 1.85 a link of 25 GB/s, 0.69 a lane."""
    designs, _ = modules
    areas = designs.Areas.of(yaml.safe_load(FILE.read_text()))
    assert areas.stack == pytest.approx(10.45 + 552.743 * 814 / 80e3, rel=1e-12)
    assert areas.link * 25e9 == pytest.approx(0.965 + 86.628 * 814 / 80e3, rel=1e-12)
    assert areas.sram * 2**20 == pytest.approx(8 / 31.8, rel=1e-12)
    h100 = designs.Design(compute=989.4e12, stacks=6.0, sram=10e6, link=450e9)  # its L2 has 60 MB, 50 of them a buffer
    assert areas.total(h100) == pytest.approx(814.0, rel=1e-12)


def test_every_figure_has_a_source() -> None:
    told = yaml.safe_load(FILE.read_text())
    groups = [told["budget"], *told["reference"].values(), *told["areas"].values(), *told["parts"].values()]
    named = {name for group in groups for name in group.get("source", "h100").split(" + ")}
    assert all("source" in group for group in groups if group is not told["reference"]["compute"])
    assert named == set(told["sources"])


def test_the_page_and_its_figure_are_what_is_printed(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, study = modules
    drawn = tmp_path / FIGURE.name
    assert study.main(["--chart", str(drawn)]) == 0
    text = PAGE.read_text(encoding="utf-8")
    found = BLOCK.search(text)
    assert found
    fresh = text[: found.start("printed")] + capsys.readouterr().out + text[found.end("printed") :]
    if os.environ.get("ROOFLINE_UPDATE"):
        PAGE.write_text(fresh, encoding="utf-8")
        FIGURE.write_bytes(drawn.read_bytes())
    assert fresh == PAGE.read_text(encoding="utf-8")
    assert said(drawn) == said(FIGURE)


def said(figure: Path) -> list[str]:
    """Every text of a figure but ticks, which versions of Matplotlib place differently."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure.read_text(encoding="utf-8"))
    return sorted(text for text in texts if re.search(r"[a-z]{3}", text))


def test_what_cannot_be_is_said(modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, study = modules
    assert study.main(["--workload", "llama-3.1-8b-pretraining"]) == 2
    assert "trains; the study is of chips that serve" in capsys.readouterr().err
    assert study.main([str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
    told = yaml.safe_load(FILE.read_text())
    told |= {"axes": AXES, "budget": {"area": 100, "power": 700}, "chip": str(FOLDER / "asic.yaml")}
    tight = tmp_path / "tight.yaml"
    tight.write_text(json.dumps(told))
    assert study.main([str(tight)]) == 1
    assert "refused of these: 256 by area" in capsys.readouterr().out
