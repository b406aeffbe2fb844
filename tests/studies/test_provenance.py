"""Where numbers come from: every number of chip, stack and model once, under the source that its file states."""

from __future__ import annotations

from collections import Counter

import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.studies.analyze import predict
from roofline.studies.provenance import sources


def test_every_number_of_an_entry_is_told_once_with_its_source() -> None:
    found = rl.predict("llama-3.1-8b-chat", "h100-sxm")["sources"]
    entry = rl.show("h100-sxm")
    stated = {field["key"]: field["source"] for field in entry["fields"]}
    told = {
        number["key"]: source["title"] and source["title"] + (f" ({source['date']})" if source["date"] else "")
        for source in found
        if source["of"] == "h100-sxm"
        for number in source["numbers"]
    }
    assert told == stated
    counted = Counter((item["of"], number["key"]) for item in found for number in item["numbers"])
    assert max(counted.values()) == 1
    assert {(item["kind"], item["of"]) for item in found} == {
        ("chip", "h100-sxm"),
        ("stack", "vllm"),
        ("model", "llama-3.1-8b"),
    }


def test_addresses_and_dates_are_those_of_the_file() -> None:
    chip = Catalog().chip("h100-sxm")
    peaks = next(item for item in rl.predict("llama-3.1-8b-chat", "h100-sxm")["sources"]
                 if any(number["key"] == "compute.peaks.fp8" for number in item["numbers"]))  # fmt: skip
    source = chip.sources["compute.peaks.fp8"]
    assert (peaks["title"], peaks["url"], peaks["date"]) == (source.title, source.url, source.date)
    assert source.url


def test_a_stack_cites_what_holds_on_the_chip() -> None:
    """A stack's number for the chip's family comes before that for any chip."""
    found = predict("llama-3.1-8b-chat", "h100-sxm")
    stack = found.deployment.stack
    told = {number["key"]: item["title"] for item in sources(found.workload.model, [found.deployment])["sources"]
            for number in item["numbers"] if item["kind"] == "stack"}  # fmt: skip
    assert "variants.hopper.rates.attention" in stack.sources
    assert told["rates.attention"] == stack.sources["variants.hopper.rates.attention"].title


@pytest.mark.parametrize(
    "result",
    [
        lambda: rl.compare("llama-3.1-8b-chat", ["h100-sxm", "mi300x", "2xh100-sxm"]),
        lambda: rl.contrast("llama-3.1-8b", ["h100-sxm", "mi300x"]),
        lambda: rl.plan("llama-3.1-8b-chat", ["h100-sxm", "mi300x"]),
    ],
    ids=["compare", "contrast", "plan"],
)  # fmt: skip
def test_results_of_several_deployments_tell_each_source_once(result: object) -> None:
    found = result()["sources"]  # type: ignore[operator]
    assert {item["of"] for item in found if item["kind"] == "chip"} == {"h100-sxm", "mi300x"}
    counted = Counter((item["of"], item["title"]) for item in found)
    assert max(counted.values()) == 1
