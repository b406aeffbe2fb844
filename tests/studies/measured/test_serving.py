"""Measured requests: one figure under one name, what a source states and what follows, devices counted as chips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.studies.measured import serving
from roofline.studies.measured.serving import OFFLINE_MODE, Setup, canonical, chunk, depth, in_chips, reader
from roofline.studies.measured.table import Case

MakeCase = Callable[..., Case]
COUNTS = st.integers(min_value=1, max_value=64)
VALUES = st.floats(min_value=1e-3, max_value=1e6)


@pytest.fixture(scope="module")
def read(catalog: Catalog) -> Callable[[Case], Setup]:
    whole = reader(catalog)
    return lambda case: whole(case)[0]


# -- one figure under one name


@pytest.mark.parametrize(("value", "tokens"), [(2.5, 100), (0.3, 1), (900.0, 4096)])
def test_the_time_of_a_whole_generation_is_that_of_each_token(case: MakeCase, value: float, tokens: int) -> None:
    whole = case(metric="e2e_latency_s", phase="decode", value=str(value), output_len=str(tokens))
    found = canonical(whole)
    assert (found["metric"], serving.of_case(found).name) == ("tpot_ms", "tpot_s")
    assert (found.numbers["value"] or 0.0) / 1e3 * tokens == pytest.approx(value)


@pytest.mark.parametrize(("value", "tokens"), [(40.0, 100), (0.5, 1), (250.0, 4096)])
def test_tokens_per_second_of_a_whole_request_are_its_latency(case: MakeCase, value: float, tokens: int) -> None:
    found = canonical(case(metric="tokens_per_s_per_user", phase="e2e", value=str(value), output_len=str(tokens)))
    assert (found["metric"], serving.of_case(found).name) == ("e2e_latency_s", "e2e_latency_s")
    assert value * (found.numbers["value"] or 0.0) == pytest.approx(tokens)


@pytest.mark.parametrize(
    "cells",
    [
        {"metric": "tpot_ms"},
        {"metric": "e2e_latency_s", "phase": "e2e"},
        {"metric": "e2e_latency_s", "phase": ""},
        {"metric": "e2e_latency_s", "phase": "decode", "output_len": ""},
        {"metric": "e2e_latency_s", "phase": "decode", "output_len": "0"},
        {"metric": "tokens_per_s_per_user", "phase": ""},
        {"metric": "tokens_per_s_per_user", "phase": "decode"},
        {"metric": "tokens_per_s_per_user", "phase": "e2e", "input_len": "0"},
        {"metric": "tokens_per_s_per_user", "phase": "e2e", "input_len": ""},
        {"metric": "output_tokens_per_s_total", "phase": "decode"},
        {"mode": OFFLINE_MODE},
    ],
)
def test_all_other_figures_stay_as_they_are(case: MakeCase, cells: dict[str, str]) -> None:
    assert canonical(case(**cells)) == case(**cells)


@given(value=VALUES, metric=st.sampled_from(["e2e_latency_s", "tokens_per_s_per_user", "tpot_ms"]),
       phase=st.sampled_from(["decode", "e2e", ""]), mode=st.sampled_from(["offline_max", "fixed_batch"]))  # fmt: skip
def test_a_canonical_case_is_canonical(case: MakeCase, value: float, metric: str, phase: str, mode: str) -> None:
    once = canonical(case(metric=metric, phase=phase, mode=mode, value=str(value)))
    assert canonical(once) == once


def test_offline_max_is_a_short_name(case: MakeCase, read: Callable[[Case], Setup]) -> None:
    told = {"metric": "output_tokens_per_s_total", "batch": ""}
    short, long = (canonical(case(mode=mode, **told)) for mode in ("offline_max", "offline_max_throughput"))
    assert short == long
    assert read(short).offline


# -- what a source states


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"cached": "4096"}, 4096.0),
        ({"note": "pp2048 @ d32768"}, 32768.0),
        ({"cached": "100", "note": "pp2048 @ d32768"}, 100.0),
        ({"note": "[T1] llama-bench pp512 @ d8192; 3 runs"}, 8192.0),
        ({"note": "tg128 @ d32768"}, 0.0),
        ({}, 0.0),
    ],
)
def test_cached_tokens_are_stated_or_in_the_words_of_llama_bench(
    case: MakeCase, cells: dict[str, str], expected: float
) -> None:
    assert depth(case(**cells)) == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"chunk": "8192"}, 8192.0),
        ({"note": "n_ubatch 512"}, 512.0),
        ({"note": "llama-bench n_ubatch 2048; fa 1"}, 2048.0),
        ({"note": "n_ubatch 2048, fa 1"}, 2048.0),
        ({"chunk": "128", "note": "n_ubatch 512"}, 128.0),
        ({"note": "n_ubatch unknown"}, 0.0),
        ({}, 0.0),
    ],
)
def test_chunks_are_stated_or_in_the_words_of_llama_bench(
    case: MakeCase, cells: dict[str, str], expected: float
) -> None:
    assert chunk(case(**cells)) == expected


def test_a_stated_chunk_takes_the_place_of_the_stacks(
    case: MakeCase, read: Callable[[Case], Setup], catalog: Catalog
) -> None:
    usual, stated = (serving.stack_of(read(case(chunk=text)), catalog) for text in ("", "777"))
    assert stated.prefill_chunk == 777
    assert replace(stated, prefill_chunk=usual.prefill_chunk) == usual


def test_cached_tokens_stand_before_the_prompt(case: MakeCase, read: Callable[[Case], Setup], catalog: Catalog) -> None:
    cases = [case(cached=text) for text in ("", "4096")]
    (setup,) = {read(item) for item in cases}
    model, stack = serving.model_of(setup, catalog), serving.stack_of(setup, catalog)
    work = serving.work(setup, cases, model, serving.deployment(setup, catalog, model, stack))
    assert np.asarray(work.cached).tolist() == [0.0, 4096.0]
    assert np.asarray(work.input_len).tolist() == [1000.0, 1000.0]


def test_a_rule_of_a_source_tells_how_many_requests_there_were_and_that_they_are_equally_long(
    case: MakeCase, catalog: Catalog
) -> None:
    told = {"batch": "", "mode": OFFLINE_MODE, "metric": "output_tokens_per_s_total", "source": "perf-overview.md"}
    setup, whole = reader(catalog)(case(**told, input_len="128", output_len="4096"))
    model, stack = serving.model_of(setup, catalog), serving.stack_of(setup, catalog)
    work = serving.work(setup, [whole, case()], model, serving.deployment(setup, catalog, model, stack))
    assert np.asarray(work.requests).tolist() == [1500.0, np.inf]
    assert np.asarray(work.uniform).tolist() == [False, False]
    _, alike = reader(catalog)(case(source="silicon_sample.csv", date=""))
    _, varied = reader(catalog)(case(source="silicon_sample.csv", date="2025-11"))
    assert [row["uniform"] for row in (alike, varied)] == ["yes", ""]


@pytest.mark.parametrize(("text", "distinct"), [("yes", 1.0), ("", np.inf), ("no", np.inf)])
def test_identical_prompts_choose_the_same_experts(
    case: MakeCase, read: Callable[[Case], Setup], catalog: Catalog, text: str, distinct: float
) -> None:
    told = case(identical=text)
    setup = read(told)
    model, stack = serving.model_of(setup, catalog), serving.stack_of(setup, catalog)
    assert serving.work(setup, [told], model, serving.deployment(setup, catalog, model, stack)).distinct == distinct


@pytest.mark.parametrize(
    ("framework", "version", "date", "stack"),
    [
        ("vLLM", "0.7.3", "", "vllm-v0"),
        ("vLLM", "v0.8.0", "", "vllm"),
        ("vLLM", "", "2025-01", "vllm-v0"),
        ("vLLM", "", "2025-02", "vllm-v0"),
        ("vLLM", "", "2025-02-27", "vllm-v0"),
        ("vLLM", "", "2025-03-01", "vllm"),
        ("vLLM", "", "2023", "vllm-v0"),
        ("vLLM", "", "", "vllm"),
        ("vLLM", "0.9", "2024-01", "vllm"),
        ("vLLM", "0.6.1", "2026-01", "vllm-v0"),
        ("vLLM", "nightly", "2024-01", "vllm-v0"),
        ("llama.cpp", "b2843", "", "llama.cpp-2024"),
        ("llama.cpp", "b4000", "", "llama.cpp"),
        ("llama.cpp", "", "2024-05-31", "llama.cpp-2024"),
        ("TensorRT-LLM", "0.20.0", "", "trtllm"),
        ("TensorRT-LLM", "0.12", "", "trtllm-2024"),
        ("TensorRT-LLM", "0.9", "", "trtllm-2023"),
        ("TensorRT-LLM", "", "2023-11", "trtllm-2023"),
        ("TensorRT-LLM", "", "2024-09-09", "trtllm-2024"),
    ],
)
def test_releases_find_the_stack_that_stands_for_them(
    case: MakeCase, read: Callable[[Case], Setup], framework: str, version: str, date: str, stack: str
) -> None:
    assert read(case(framework=framework, version=version, date=date)).stack == stack


# -- devices as chips


@pytest.mark.parametrize(
    ("degrees", "chips", "devices", "expected"),
    [
        ({"tp": 24}, 12, 2, {"tp": 12}),
        ({"tp": 3, "dp": 8}, 12, 2, {"tp": 3, "dp": 4}),
        ({"tp": 4, "dp": 6, "ep": 24}, 12, 2, {"tp": 2, "dp": 6, "ep": 12}),
        ({"dp": 24, "ep": 24}, 12, 2, {"dp": 12, "ep": 12}),
        ({"tp": 64}, 16, 4, {"tp": 16}),
        ({"tp": 2, "pp": 2}, 2, 2, {"tp": 1, "pp": 2}),
        ({"ep": 24}, 12, 2, {"ep": 12}),
        ({"tp": 2, "ep": 320}, 160, 2, {"tp": 1, "ep": 160}),
        ({"tp": 12}, 12, 2, {"tp": 12}),
        ({"pp": 24}, 12, 2, {"pp": 24}),
        ({"tp": 8, "ep": 8}, 8, 1, {"tp": 8, "ep": 8}),
        ({}, 4, 2, {}),
    ],
)
def test_ranks_become_chips_where_devices_were_counted(
    degrees: dict[str, int], chips: int, devices: int, expected: dict[str, int]
) -> None:
    assert in_chips(degrees, chips, devices) == expected


@given(tp=COUNTS, pp=COUNTS, dp=COUNTS, devices=st.sampled_from([2, 4, 8]))
def test_counted_devices_become_as_many_chips_as_there_are(tp: int, pp: int, dp: int, devices: int) -> None:
    tp *= devices
    found = in_chips({"tp": tp, "pp": pp, "dp": dp}, tp * pp * dp // devices, devices)
    assert np.prod(list(found.values())) == tp * pp * dp // devices
    assert (found["pp"], found["dp"]) == (pp, dp)


@given(tp=COUNTS, pp=COUNTS, dp=COUNTS, devices=st.sampled_from([1, 2, 4, 8]))
def test_counted_chips_stay_chips(tp: int, pp: int, dp: int, devices: int) -> None:
    degrees = {"tp": tp, "pp": pp, "dp": dp}
    assert in_chips(degrees, tp * pp * dp, devices) == degrees


@pytest.mark.parametrize(("tp", "plan"), [("16", 8), ("8", 8)])
def test_cores_of_a_chip_are_counted_by_some(
    case: MakeCase, read: Callable[[Case], Setup], catalog: Catalog, tp: str, plan: int
) -> None:
    """Eight chips of two cores each, either way."""
    setup = read(case(chip="trainium1", num_chips="8", tp=tp, framework="Neuron"))
    model, stack = serving.model_of(setup, catalog), serving.stack_of(setup, catalog)
    assert float(serving.deployment(setup, catalog, model, stack).plan.tp) == plan
