"""Separate pools on the command line: names, the contract, what people read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roofline.studies import contract

SCHEMA = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
CHAT = "llama-3.1-70b-chat"


def contracted(text: str) -> Any:
    found = json.loads(text)
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    return found


def test_pools_are_in_the_contract(run: Callable[..., Any]) -> None:
    found = contracted(run("analyze", CHAT, "16xh100-sxm:pools=4:12", "--format", "json").out)
    deployment = found["deployment"]
    assert deployment["pools"] == {"prefill": 4, "decode": 12}
    assert (deployment["num_chips"], deployment["label"]) == (16, "16xh100-sxm:pools=4:12")
    for plan, chips in ((deployment["prefill_plan"], 4), (deployment["plan"], 12)):
        assert plan["tp"] * plan["pp"] * plan["dp"] * plan["cp"] == chips
    for phase in found["phases"]:
        assert sum(item["share"] for item in phase["operators"]) == pytest.approx(1.0)
    prefill = found["phases"][0]
    moved = next(item for item in prefill["operators"] if item["name"] == "kv-cache/transfer")
    assert (moved["kind"], moved["count"], moved["bound"]) == ("send", 1.0, "network")
    whole = found["model"]["kv_cache_bytes_per_token"] * 1155
    links = deployment["prefill_plan"]["tp"] * deployment["prefill_plan"]["pp"]
    assert moved["network_bytes"] == pytest.approx(whole / links)


def test_without_pools_nothing_is_said_of_them(run: Callable[..., Any]) -> None:
    found = contracted(run("analyze", CHAT, "16xh100-sxm", "--format", "json").out)
    assert "pools" not in found["deployment"]
    assert "pool" not in found["memory"]


def test_a_comparison_names_the_split_that_was_found(run: Callable[..., Any]) -> None:
    rows = contracted(run("compare", CHAT, "16xh100-sxm", "16xh100-sxm:pools=auto", "--format", "json").out)["rows"]
    pools = rows[1]["deployment"]["pools"]
    assert rows[0]["deployment"]["label"] == "16xh100-sxm"
    assert rows[1]["deployment"]["label"] == f"16xh100-sxm:pools={pools['prefill']}:{pools['decode']}"
    assert sum(pools.values()) == 16


def test_an_option_for_all_deployments_is_named_as_well(run: Callable[..., Any]) -> None:
    out = run("compare", CHAT, "16xh100-sxm:tp=4", "8xh200-sxm", "--pools", "auto").out
    assert "16xh100-sxm:tp=4,pools=" in out
    assert "8xh200-sxm:pools=" in out


@pytest.mark.parametrize(("written", "chips"), [("h100-sxm:pools=2:6", 8), ("h100-sxm:pools=auto,tp=4", 8)])
def test_chips_need_not_be_counted(run: Callable[..., Any], written: str, chips: int) -> None:
    found = contracted(run("analyze", CHAT, written, "--format", "json").out)
    assert found["deployment"]["num_chips"] == chips


def test_people_read_of_both_pools_and_of_the_way_between(run: Callable[..., Any]) -> None:
    out = run("analyze", CHAT, "16xh100-sxm:pools=4:12,tp=4", "--all").out
    assert "16xh100-sxm:pools=4:12,tp=4 (NVIDIA H100 SXM5 80GB), tp4 : tp4 dp3\n" in out
    assert "pools: 4 chips prefill, 12 decode; a request moves 47.3 MB of its KV cache on each chip, " in out
    assert "kv-cache/transfer" in out


def test_rows_have_both_plans(run: Callable[..., Any]) -> None:
    out = run("compare", CHAT, "16xh100-sxm:pools=4:12,tp=4", "16xh100-sxm", "--format", "csv").out
    first, second = csv.DictReader(io.StringIO(out))
    assert [first[name] for name in ("prefill_chips", "decode_chips", "prefill_tp", "dp")] == ["4", "12", "4.0", "3.0"]
    assert second["prefill_chips"] == ""


def test_the_transfer_is_explained(run: Callable[..., Any]) -> None:
    found = contracted(
        run("explain", CHAT, "16xh100-sxm:pools=8:8,tp=8", "kv-cache/transfer", "--format", "json").out
    )  # fmt: skip
    lines = {line["quantity"]: line for line in found["lines"]}
    assert lines["kv"]["result"] == "23,654,400"  # 1,155 tokens of 163,840 bytes on 8 chips
    assert "scale-out" in lines["link"]["formula"]


def test_a_pool_that_is_too_small_says_so(run: Callable[..., Any]) -> None:
    ran = run("analyze", CHAT, "16xh100-sxm:pools=1:15,weights=bf16", "--require-fit")
    assert ran.code == 1
    assert "does not fit: its prefill pool needs 142 GB per chip (weights 141 GB" in ran.out
    assert "memory per chip, prefill pool" in ran.out
