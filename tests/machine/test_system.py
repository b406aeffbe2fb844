"""Systems: how many chips, wired how; slices of a torus and what their open ends cost."""

from __future__ import annotations

from pathlib import Path

import pytest

import roofline as rl
from roofline.catalog.store import KINDS, Catalog
from roofline.engine.collectives import bandwidth
from roofline.errors import PlanError, RooflineError
from roofline.machine import Link, Shape
from roofline.studies.request import Options, chip_of, meant, parse_deployment, resolve_deployment, resolve_workload

SYSTEMS = sorted(Catalog().files(KINDS["system"]))
CHAT = "llama-3.1-8b-chat"


def chips_of(catalog: Catalog, text: str) -> int:
    return resolve_deployment(catalog, text, resolve_workload(catalog, CHAT, Options()), Options()).num_chips


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_its_chip_and_links(catalog: Catalog, name: str) -> None:
    system, spec = catalog.system(name), catalog.spec("system", name)
    chip = catalog.chip(system.chip.id)
    stated = {link.scope for link in spec.links}  # type: ignore[attr-defined]
    for link in system.chip.links:
        assert link.scope in stated or link == chip.link(link.scope)
    assert {link.scope for link in system.chip.links} == stated | {link.scope for link in chip.links}
    assert system.chip.peaks == chip.peaks
    assert system.chip.id == chip.id  # calibration and prices go by it
    near = system.chip.link("scale-up")
    assert near is None or near.chips >= system.chips


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_system_draws_less_than_its_chips_at_most(catalog: Catalog, name: str) -> None:
    system = catalog.system(name)
    if system.power is not None and system.chip.tdp is not None:
        assert system.power >= system.chips * system.chip.tdp


@pytest.mark.parametrize(
    ("text", "chips"),
    [
        ("dgx-h100", 8),
        ("4xdgx-h100", 32),
        ("dgx-h100:tp=4", 8),
        ("gb200-nvl72", 72),
        ("2xnvl72:tp=8", 144),
        ("8xh100-sxm", 8),
        ("tpu-v5e-pod:shape=4x4", 16),
        ("3xtpu-v5e-pod:shape=2x4", 24),
    ],
)
def test_systems_are_counted_in_chips(catalog: Catalog, text: str, chips: int) -> None:
    assert chips_of(catalog, text) == chips


def test_as_many_systems_as_hold_the_model(catalog: Catalog) -> None:
    job = resolve_workload(catalog, "llama-3.1-405b", Options())
    found = resolve_deployment(catalog, "dgx-a100-320gb", job, Options())
    assert found.num_chips % 8 == 0
    assert found.num_chips > 8
    assert found.label == f"{found.num_chips // 8}xdgx-a100-320gb"


def test_a_system_is_its_chips_with_its_own_price() -> None:
    """What is not the system's is the chip's: the same times, to the bit."""
    rack, chips = (rl.predict(CHAT, text, tp=8, batch=16) for text in ("dgx-h100", "8xh100-sxm"))
    assert rack["metrics"]["tpot_s"] == chips["metrics"]["tpot_s"]
    assert rack["metrics"]["own_usd_per_request"] != chips["metrics"]["own_usd_per_request"]


def test_links_of_a_system_come_before_those_of_the_chip(catalog: Catalog) -> None:
    far = catalog.system("gb200-nvl72").chip.link("scale-out")
    known = catalog.chip("gb200").link("scale-out")
    assert far is not None
    assert known is not None
    assert far.bandwidth == known.bandwidth / 2
    assert "ConnectX-7" in catalog.system("gb200-nvl72").chip.sources["links.ConnectX-7"].title


def test_a_price_is_shared_by_the_chips(catalog: Catalog) -> None:
    price = catalog.system("dgx-h100").chip.price
    assert price.purchase == 375000 / 8
    assert price.covers == "server"
    assert price.hourly == catalog.chip("h100-sxm").price.hourly


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpu-v5e-pod:shape=3x3", "tpu-v5e-pod has no slice of shape 3x3, only 2x2, 2x4, 4x4"),
        ("tpu-v5p-pod:shape=4x4x9", "did you mean '4x4x8'"),
        ("dgx-h100:shape=2x4", "dgx-h100 has no slice of shape 2x4, nor any other"),
        ("h100:shape=4x4", "shape=4x4 is of a slice of a system; h100 is one chip"),
        ("h100:shape=all", "write chips along each axis, e.g. shape=4x4x8"),
        ("h100:shap=4x4", "did you mean 'shape'"),
        ("9999999xgb200-nvl72", "719,999,928 chips; write at most 10,000,000"),
        ("dgx-h10", "did you mean 'dgx-h100'"),
    ],
)
def test_what_there_is_not_is_told(catalog: Catalog, text: str, message: str) -> None:
    with pytest.raises(RooflineError) as error:
        chips_of(catalog, text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("pod", "shape", "rings"),
    [
        ("tpu-v5e-pod", "4x4", 0.5),
        ("tpu-v5e-pod", "8x16", 0.75),
        ("tpu-v5e-pod", "16x16", 1.0),
        ("tpu-v5p-pod", "2x4x4", 0.5),
        ("tpu-v5p-pod", "4x4x8", 1.0),
        ("tpu-v4-pod", "8x8x12", 1.0),
    ],
)
def test_which_axes_close(catalog: Catalog, pod: str, shape: str, rings: float) -> None:
    """Google: full axes of 16 of inference chips; training chips from a cube of 4x4x4 on."""
    found = catalog.system(pod).slice(shape)
    near = found.chip.link("scale-up")
    assert near is not None
    assert near.rings == rings
    assert near.chips == found.chips == Shape(tuple(map(int, shape.split("x"))), (True,)).chips


LINE = Link(name="ICI", scope="scale-up", bandwidth=100e9, chips=64.0, topology="torus2d", rings=0.5)
RING = Link(name="ICI", scope="scale-up", bandwidth=100e9, chips=64.0, topology="torus2d")


def test_a_line_gathers_half_as_fast_as_a_ring() -> None:
    """A chip at the end of a line receives all that others have over one link instead of two."""
    assert bandwidth(LINE, 64.0, "all-gather") == bandwidth(RING, 64.0, "all-gather") / 2
    assert bandwidth(LINE, 64.0, "all-to-all") == bandwidth(RING, 64.0, "all-to-all") / 2


@pytest.mark.parametrize("algorithm", ["all-gather", "all-to-all"])
def test_few_neighbours_do_not_miss_what_they_do_not_use(algorithm: str) -> None:
    """Four chips are a square, closed or not: each has two of its four links."""
    assert bandwidth(LINE, 4.0, algorithm) == bandwidth(RING, 4.0, algorithm)


def test_an_open_slice_is_never_faster(catalog: Catalog) -> None:
    for shape in ("2x2", "4x4", "8x8"):
        text = f"tpu-v5e-pod:shape={shape}"
        size = catalog.system("tpu-v5e-pod").slice(shape).chips
        times = [
            rl.predict(CHAT, name, tp=min(size, 8), batch=16)["metrics"]["tpot_s"] for name in (text, f"{size}xv5e")
        ]
        assert times[0] >= times[1]


def test_slices_talk_over_the_network(catalog: Catalog) -> None:
    """Two slices of 16 are no slice of 32: what crosses takes the data centre's network."""
    whole, halves = (
        rl.predict("llama-3.1-8b", text, phase="training", seq_len=2048, global_batch=32, dp=32, zero=1)["metrics"]
        for text in ("tpu-v5e-pod:shape=4x8", "2xtpu-v5e-pod:shape=4x4")
    )
    assert halves["step_time_s"] > whole["step_time_s"]


def test_a_system_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "my-rack.yaml"
    path.write_text(
        "id: my-rack\nname: Mine\nvendor: acme\nchip: l40s\nchips: {count: 16, source: us}\n"
        "links:\n  - {name: fabric, scope: scale-up, bandwidth: 20 GB/s, per: direction, chips: 16, source: us}\n"
        "sources: {us: {title: Us, date: '2026'}}\n",
        encoding="utf-8",
    )
    found = rl.predict(CHAT, str(path))["deployment"]
    assert (found["label"], found["num_chips"], found["chip"]) == ("1xmy-rack", 16, "l40s")
    assert rl.lint(path)["rows"] == []


@pytest.mark.parametrize("command", ["predict", "contrast", "sweep", "plan", "whatif", "explain", "decide"])
def test_every_study_takes_systems(command: str) -> None:
    text = "dgx-h100"
    if command == "contrast":
        assert rl.contrast("llama-3.1-8b", [text])["rows"][0]["name"] == text
    elif command == "sweep":
        for axis in ("batch=1,8", "tp=1,8"):
            assert [row["num_chips"] for row in rl.sweep(CHAT, text, vary=axis)["rows"]] == [8, 8]
    elif command == "plan":
        found = rl.plan(CHAT, "1-2xdgx-h100", top=2)
        assert {row["written"].split("x")[0] for row in found["rows"]} <= {"1", "2"}
        assert found["chips"][0]["sizes"] == [8, 16]
        slices = rl.plan(CHAT, "tpu-v5e-pod:shape=2x4", top=1)["rows"][0]
        assert slices["deployment"]["label"] == "1xtpu-v5e-pod:shape=2x4"
        assert slices["written"].startswith("1xtpu-v5e-pod:shape=2x4,")
    elif command == "whatif":
        assert rl.whatif(CHAT, text, set="memory.bandwidth=+10%")["change"]
    elif command == "explain":
        assert rl.explain(CHAT, text, "decode/ffn/up")["lines"]
    elif command == "decide":
        assert Catalog().chip(text).id == "h100-sxm"
    else:
        assert rl.predict(CHAT, text)["deployment"]["num_chips"] == 8


def test_text_is_read_without_a_catalogue(catalog: Catalog) -> None:
    """The count is of systems until it is known what they are."""
    assert parse_deployment("4xdgx-h100").chips == 4
    assert meant(catalog, "4xdgx-h100").chips == 32
    assert chip_of(catalog, meant(catalog, "4xdgx-h100")).name == "NVIDIA H100 SXM5 80GB in NVIDIA DGX H100"


def test_no_slice_of_what_is_no_torus(catalog: Catalog) -> None:
    with pytest.raises(PlanError):
        catalog.system("cs-3").slice("2x2")
