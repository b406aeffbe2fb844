"""Intervals around metrics: they hold the expectation, never beat the bound, and come from figures of the same kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import inference, interval
from roofline.engine.deployment import Deployment
from roofline.engine.interval import RATES, TIMES
from roofline.machine import Chip, Efficiency, Link, Memory, Peak, Stack
from roofline.machine.evidence import FIGURES, Spread, Spreads, spread_of
from roofline.numeric import Num
from roofline.workload import Attention, Block, Decode, DenseFFN, Model, Plan, Prefill, Serving

SPANNED = {**TIMES, **RATES}


def spread(low: float, high: float) -> Spread:
    return Spread(low=low, high=high, cases=20, groups=5, median_error=0.1)


def metrics(found: Mapping[str, tuple[float, float]]) -> dict[str, Num | None]:
    """Metrics from ideals, and by how many times the expectation is worse."""
    return {
        key: value
        for name, (ideal, worse) in found.items()
        for key, value in ((name, ideal * worse if name in TIMES else ideal / worse), (f"{name}_ideal", ideal))
    }


FACTOR = st.floats(min_value=1e-3, max_value=1e4)
SLOWER = st.floats(min_value=1.0, max_value=1e3)
SPREADS = st.dictionaries(
    st.sampled_from(sorted(FIGURES)),
    st.tuples(FACTOR, FACTOR).map(lambda pair: spread(min(pair), max(pair))),
)
METRICS = st.fixed_dictionaries(
    {name: st.tuples(st.floats(min_value=1e-6, max_value=1e6), SLOWER) for name in SPANNED}
).map(metrics)
STATES = st.fixed_dictionaries({"served": st.booleans(), "among": st.booleans(), "saturated": st.booleans()})
UNLIKE = {name: 2.0 + index for index, name in enumerate(sorted(FIGURES))}  # a factor by which each is told


def around(
    metrics: Mapping[str, Num | None], spreads: Spreads, *, served: bool = False, among: Num = 0.0, saturated: bool = False
) -> dict[str, Num]:  # fmt: skip
    return dict(interval.around(metrics, spreads, served=served, among=among, saturated=saturated))


def used(*, served: bool, among: bool = False, saturated: bool = False) -> dict[str, float]:
    """By how much each metric may be worse where every figure has another spread, and its bound is far away."""
    far = dict.fromkeys(SPANNED, (1.0, 100.0))
    told = {name: spread(1.0, factor) for name, factor in UNLIKE.items()}
    found = around(metrics(far), told, served=served, among=float(among), saturated=saturated)
    return {
        name: float(found[f"{name}_high"]) / 1e2 if name in TIMES else 1e-2 / float(found[f"{name}_low"])
        for name in SPANNED
    }


# -- bounds


@given(values=METRICS, spreads=SPREADS, state=STATES)
def test_every_interval_holds_its_expectation_and_never_beats_the_bound(
    values: dict[str, Num | None], spreads: Spreads, state: dict[str, bool]
) -> None:
    found = around(values, spreads, **state)
    for key, edge in found.items():
        name, _, side = key.rpartition("_")
        value, ideal = values[name], values[f"{name}_ideal"]
        assert value is not None
        assert ideal is not None
        assert edge <= value if side == "low" else edge >= value
        assert edge >= ideal if name in TIMES else edge <= ideal
    assert {key.rpartition("_")[0] for key in found} == {
        name
        for name, spans in SPANNED.items()
        if spread_of(spreads, interval.figure(spans, served=state["served"], saturated=state["saturated"]))
    }


@given(ideal=st.floats(min_value=1e-3, max_value=1e3), worse=SLOWER, spreads=SPREADS, served=st.booleans())
def test_the_interval_of_a_rate_is_that_of_its_time_turned_round(
    ideal: float, worse: float, spreads: Spreads, served: bool
) -> None:
    pairs = (("tpot_s", "output_tokens_per_s_per_user"), ("e2e_latency_s", "output_tokens_per_s"))
    told = {name: (ideal if name in TIMES else 1.0 / ideal, worse) for pair in pairs for name in pair}
    found = around(metrics(told), spreads, served=served, among=1.0)
    for time, rate in pairs:
        assert (f"{time}_low" in found) == (f"{rate}_low" in found)
        if f"{time}_low" in found:
            assert found[f"{rate}_low"] == pytest.approx(1.0 / found[f"{time}_high"])
            assert found[f"{rate}_high"] == pytest.approx(1.0 / found[f"{time}_low"])


@pytest.mark.parametrize(
    ("name", "span"), [("ttft_s", "prefill"), ("tpot_s", "decode"), ("", "end to end")], ids=["reads", "writes", "both"]
)
def test_a_request_of_one_phase_is_that_phase(name: str, span: str) -> None:
    """The whole request has the spread of the only phase that it has."""
    told = dict.fromkeys(("ttft_s", "tpot_s", "e2e_latency_s"), (1e-3, 100.0))
    values = metrics(told) | ({other: 0.0 for other in ("ttft_s", "tpot_s") if other != name} if name else {})
    found = around(values, {each: spread(1.0, factor) for each, factor in UNLIKE.items()})
    assert float(found["e2e_latency_s_high"]) == pytest.approx(0.1 * UNLIKE[span])


def test_far_from_the_bound_the_interval_is_the_spread() -> None:
    told = {"tpot_s": (1e-3, 100.0), "decode_tokens_per_s": (1000.0, 100.0)}
    found = around(metrics(told), {"decode": spread(0.8, 1.5)})
    assert found == pytest.approx(
        {"tpot_s_low": 0.08, "tpot_s_high": 0.15, "decode_tokens_per_s_low": 10 / 1.5, "decode_tokens_per_s_high": 12.5}
    )


def test_near_the_bound_it_ends_there() -> None:
    told = {"tpot_s": (1.0, 1.1), "decode_tokens_per_s": (11.0, 1.1)}
    found = around(metrics(told), {"decode": spread(0.5, 1.5)})
    assert found["tpot_s_low"] == 1.0
    assert found["decode_tokens_per_s_high"] == 11.0


@pytest.mark.parametrize(("low", "high"), [(1.4, 3.0), (0.2, 0.6)])
def test_a_spread_to_one_side_still_holds_the_expectation(low: float, high: float) -> None:
    found = around(metrics({"tpot_s": (1.0, 100.0)}), {"decode": spread(low, high)})
    assert found == pytest.approx({"tpot_s_low": 100 * min(low, 1.0), "tpot_s_high": 100 * max(high, 1.0)})
    assert interval.factors({"decode": spread(low, high)}, "decode") == (min(low, 1.0), max(high, 1.0))


def test_where_nothing_was_measured_there_is_no_interval() -> None:
    values = metrics(dict.fromkeys(SPANNED, (1.0, 2.0)))
    assert around(values, {}, served=True, among=1.0) == {}
    assert around(values, {"matmul": spread(0.5, 2.0)}) == {}
    assert interval.factors({}, "decode") is None


def test_a_metric_that_is_not_known_has_no_interval() -> None:
    everything = {name: spread(0.5, 2.0) for name in FIGURES}
    unknown: dict[str, Num | None] = {
        "tpot_s": None,
        "tpot_s_ideal": 1.0,
        "ttft_s": 1.0,
        "ttft_s_ideal": None,
        "e2e_latency_s": 1.0,
    }
    assert around(unknown, everything) == {}


# -- which figures


DECODES = ("tpot_s", "output_tokens_per_s_per_user", "decode_tokens_per_s", "decode_tokens_per_s_per_chip")
PREFILLS = ("ttft_s", "prefill_tokens_per_s")
REQUESTS = (
    "time_to_first_useful_token_s",
    "e2e_latency_s",
    "requests_per_s",
    "requests_per_chip_hour",
    "output_tokens_per_s",
    "output_tokens_per_s_per_chip",
    "total_tokens_per_s",
)


@pytest.mark.parametrize(
    ("served", "saturated", "decode", "request_"),
    [
        (False, False, "decode", "end to end"),
        (True, False, "server decode", "server end to end"),
        (False, True, "decode", "offline"),
        (True, True, "server decode", "offline"),
    ],
)
def test_batches_servers_and_full_queues_err_each_in_their_own_way(
    served: bool, saturated: bool, decode: str, request_: str
) -> None:
    expected = {
        **dict.fromkeys(DECODES, decode),
        **dict.fromkeys(PREFILLS, "prefill"),
        **dict.fromkeys(REQUESTS, request_),
    }
    assert used(served=served, saturated=saturated) == pytest.approx(
        {name: UNLIKE[what] for name, what in expected.items()}
    )


def test_a_first_token_waits_only_among_others_on_a_server() -> None:
    alone, among = used(served=True), used(served=True, among=True)
    assert among["ttft_s"] == pytest.approx(UNLIKE["server first token"])
    assert {name: factor for name, factor in among.items() if name != "ttft_s"} == {
        name: factor for name, factor in alone.items() if name != "ttft_s"
    }
    assert used(served=False, among=True)["ttft_s"] == pytest.approx(UNLIKE["prefill"])


def test_a_queue_that_was_never_measured_is_that_of_reading() -> None:
    values, spreads = metrics({"ttft_s": (1.0, 10.0)}), {"prefill": spread(0.5, 2.0)}
    assert around(values, spreads, served=True, among=1.0) == around(values, spreads, served=True) == pytest.approx(
        {"ttft_s_low": 5.0, "ttft_s_high": 20.0}
    )  # fmt: skip


@given(spreads=SPREADS, value=METRICS, among=st.lists(st.booleans(), min_size=1, max_size=5), state=STATES)
def test_elements_are_scalars_bit_for_bit(
    spreads: Spreads, value: dict[str, Num | None], among: list[bool], state: dict[str, bool]
) -> None:
    steps = 1.0 + np.arange(len(among)) / 7.0
    wide = {name: None if number is None else number * steps for name, number in value.items()}
    state = {name: on for name, on in state.items() if name != "among"}
    found = around(wide, spreads, among=np.array(among, dtype=np.float64), **state)
    for index, beside in enumerate(among):
        one = {name: None if number is None else float(number[index]) for name, number in wide.items()}
        alone = around(one, spreads, among=float(beside), **state)
        assert {name: float(np.broadcast_to(edge, len(among))[index]) for name, edge in found.items()} == alone


# -- of phases and of a whole prediction


CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e11, bandwidth=4e12),),
    links=(Link(name="near", scope="scale-up", bandwidth=1e11, chips=8.0),),
    achieved={"matmul": Efficiency(compute=0.6, memory=0.7, latency=5e-6)},
)
MODEL = Model(
    id="m",
    name="M",
    vocab=32000,
    hidden=4096,
    blocks=(Block(count=32, mixer=Attention(heads=32, kv_heads=8, head_dim=128), ffn=DenseFFN(width=14336)),),
)
SERVER = Stack(id="server", name="Server", step=1e-3)
EACH = {name: spread(0.9 - index / 100, factor) for index, (name, factor) in enumerate(UNLIKE.items())}


def where(stack: Stack = SERVER, spreads: Spreads = EACH) -> Deployment:
    return Deployment(chip=CHIP, num_chips=1, stack=stack, plan=Plan(), spreads=spreads)


def numbers(metrics: Mapping[str, Num | None]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if value is not None}


def work(batch: Num, inputs: Num = 1000.0, outputs: Num = 200.0) -> Serving:
    return Serving(id="w", model=MODEL, steps=(Prefill(inputs), Decode(outputs)), batch=batch)


@pytest.mark.parametrize("stack", [SERVER, replace(SERVER, batching="static")])
def test_a_batch_of_predictions_has_the_intervals_of_each(stack: Stack) -> None:
    batches = np.array([1.0, 2.0, 64.0, 300.0])
    together = inference.predict(work(batches), where(stack)).metrics
    sides = [name for name in together if name.endswith(("_low", "_high"))]
    assert len(sides) == 2 * len(SPANNED)
    for index, batch in enumerate(batches):
        alone = inference.predict(work(float(batch)), where(stack)).metrics
        for name in sides:
            assert float(np.broadcast_to(together[name], 4)[index]) == float(alone[name])  # type: ignore[arg-type]


def test_one_request_on_a_server_waits_for_nobody() -> None:
    for batch, figure in ((1.0, "prefill"), (2.0, "server first token")):
        found = numbers(inference.predict(work(batch), where()).metrics)
        assert found["ttft_s_high"] / found["ttft_s"] == pytest.approx(UNLIKE[figure])


def test_a_full_queue_has_the_interval_of_full_queues() -> None:
    for batch, figure in ((64.0, "server end to end"), (np.inf, "offline")):
        found = numbers(inference.predict(work(batch), where()).metrics)
        assert found["output_tokens_per_s"] / found["output_tokens_per_s_low"] == pytest.approx(UNLIKE[figure])


def test_phases_are_those_of_a_batch_by_itself() -> None:
    assert interval.of_phase("decode", where()) == (EACH["decode"].low, UNLIKE["decode"])
    assert interval.of_phase("prefill", where()) == (EACH["prefill"].low, UNLIKE["prefill"])
    for name in ("pause", "draft decode"):
        assert interval.of_phase(name, where()) is None
    assert interval.of_phase("decode", where(spreads={})) is None


@pytest.mark.parametrize(
    ("told", "batching", "figure"),
    [
        ({"ttft_s": 1.0, "tpot_s": 0.1}, "continuous", "server end to end"),
        ({"ttft_s": 1.0, "tpot_s": 0.1}, "static", "end to end"),
        ({"ttft_s": 1.0, "tpot_s": 0.0}, "continuous", "prefill"),
        ({"ttft_s": 1.0, "tpot_s": None}, "static", "prefill"),
        ({"ttft_s": 0.0, "tpot_s": 0.1}, "continuous", "server decode"),
        ({"tpot_s": 0.1}, "static", "decode"),
        ({"ttft_s": np.array([1.0, 2.0]), "tpot_s": np.array([0.1, 0.2])}, "static", "end to end"),
        ({"ttft_s": np.array([1.0, 2.0]), "tpot_s": np.array([0.0, 0.0])}, "static", "prefill"),
    ],
)
def test_the_headline_is_that_of_what_was_asked_for(told: dict[str, Num | None], batching: str, figure: str) -> None:
    stack = SERVER if batching == "continuous" else replace(SERVER, batching="static")
    assert interval.headline(where(stack), told) == EACH[figure]
    assert interval.headline(where(stack, spreads={}), told) is None


def test_the_headline_of_a_run_is_that_of_its_steps() -> None:
    assert interval.headline(where(), {"step_time_s": 1.0}) == EACH["training step"]


def test_every_figure_of_a_step_has_the_interval_of_steps() -> None:
    """Times and the rates that follow from them; never better than the bound, and what has no bound has none."""
    metrics: dict[str, Num | None] = {
        "step_time_s": 2.0, "step_time_s_ideal": 1.9, "mfu": 0.4, "mfu_ideal": 0.9, "power_w": 700.0, "goodput": None,
    }  # fmt: skip
    spread = EACH["training step"]
    metrics |= interval.around_step(metrics, {"training step": spread})
    assert metrics["step_time_s_low"] == 1.9
    assert metrics["step_time_s_high"] == pytest.approx(2.0 * spread.high)
    assert metrics["mfu_low"] == pytest.approx(0.4 / spread.high)
    assert metrics["mfu_high"] == pytest.approx(0.4 / spread.low)
    assert "power_w_low" not in metrics
    assert not dict(interval.around_step(metrics, {}))
