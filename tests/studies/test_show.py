"""Entries of the catalogue as people read them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from roofline.catalog.store import KINDS, Catalog
from roofline.studies import words
from roofline.studies.show import entry
from roofline.studies.show.software import stack_fields
from roofline.workload import (
    MLA,
    Attention,
    Block,
    CompressedAttention,
    Decode,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Mamba2,
    MoE,
    Pause,
    Prefill,
    Selection,
    Speculation,
)
from roofline.workload.attention import AttentionMixer
from roofline.workload.ffn import FFN
from roofline.workload.model import Mixer
from roofline.workload.recurrence import LinearMixer

ENTRIES = [name for kind in KINDS.values() for name in Catalog().files(kind)]
INDEXER = Selection(top_k=2048, heads=64, head_dim=128)
PLAIN = Attention(heads=64, kv_heads=64, head_dim=128)


@pytest.mark.parametrize("name", ENTRIES)
def test_no_entry_shows_how_python_writes_it(catalog: Catalog, name: str) -> None:
    """No `Name(field=value)` anywhere, however deep things are nested."""
    shown = [field["value"] for field in entry(name, catalog)["fields"]]
    assert not [value for value in shown if re.search(r"\w+\(\w+=|\w+=\w", value)]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (PLAIN, "attention, 64 heads of 128"),
        (Attention(heads=64, kv_heads=8, head_dim=128), "attention, 64 heads of 128, 8 of keys and values"),
        (Attention(heads=8, kv_heads=1, head_dim=64), "attention, 8 heads of 64, one of keys and values"),
        (
            Attention(heads=8, kv_heads=8, head_dim=64, reach="sliding", window=1024, sinks=True, gated=True),
            "attention, 8 heads of 64, last 1,024 tokens, gated, sinks",
        ),
        (
            Attention(heads=8, kv_heads=8, head_dim=192, v_dim=128, reach="chunked", window=8192, gated="heads"),
            "attention, 8 heads of 192 (values 128), chunks of 8,192 tokens, gated by head",
        ),
        (
            Attention(heads=8, kv_heads=8, head_dim=64, tied_values=True, selection=INDEXER),
            "attention, 8 heads of 64, values made of keys, 2,048 tokens chosen by 64 heads of 128",
        ),
        (
            MLA(
                heads=128,
                q_lora_rank=1536,
                kv_lora_rank=512,
                rope_dim=64,
                nope_dim=128,
                v_dim=128,
                selection=Selection(top_k=2048),
            ),
            "latent attention, 128 heads of 192 (values 128), a latent of 576, queries through 1,536, "
            "2,048 tokens chosen by an earlier layer",
        ),
        (
            MLA(heads=96, q_lora_rank=0, kv_lora_rank=512, rope_dim=64, nope_dim=128, v_dim=128, gated=True),
            "latent attention, 96 heads of 192 (values 128), a latent of 576, gated",
        ),
        (
            CompressedAttention(
                heads=64,
                head_dim=512,
                q_lora_rank=1024,
                output_groups=8,
                output_lora_rank=1024,
                window=128,
                ratio=4,
                overlap=True,
                selection=Selection(top_k=512, heads=64, head_dim=128),
            ),
            "compressed attention, 64 heads of 512, last 128 tokens, overlapping groups of 4 tokens, "
            "512 groups chosen by 64 heads of 128",
        ),
        (
            CompressedAttention(
                heads=64, head_dim=512, q_lora_rank=1024, output_groups=8, output_lora_rank=1024, window=128
            ),
            "compressed attention, 64 heads of 512, last 128 tokens",
        ),
        (Mamba1(inner=8192, state_dim=16, dt_rank=256), "Mamba, 8,192 channels of 16 states"),
        (Mamba2(heads=128, head_dim=64, state_dim=128, groups=8), "Mamba-2, 128 heads of 64 x 128, 8 groups"),
        (
            GatedDeltaNet(key_heads=16, value_heads=32, key_dim=128, value_dim=128),
            "gated delta rule, 32 heads of 128 x 128, 16 of keys",
        ),
        (
            GatedDeltaNet(key_heads=96, value_heads=96, key_dim=128, value_dim=128, decay_rank=128),
            "gated delta rule, 96 heads of 128 x 128, decays per channel through 128",
        ),
        (LightningAttention(heads=64, head_dim=96), "lightning attention, 64 heads of 96"),
        (DenseFFN(width=14336), "ffn of 14,336"),
        (DenseFFN(width=14336, gated=False), "ffn of 14,336, not gated"),
        (MoE(experts=256, top_k=8, width=2048, shared=1), "8 of 256 experts of 2,048, 1 shared"),
        (
            MoE(experts=512, top_k=22, width=2688, shared=1, shared_width=5376, latent=1024, gated=False),
            "22 of 512 experts of 2,688, 1 shared of 5,376, on a latent of 1,024, not gated",
        ),
    ],
)
def test_parts_of_a_layer_in_words(item: Mixer | FFN, expected: str) -> None:
    assert words.part(item) == expected


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (Block(count=3, mixer=PLAIN), "3 x attention, 64 heads of 128"),
        (Block(count=3, ffn=DenseFFN(width=64)), "3 x ffn of 64"),
        (
            Block(count=3, mixer=PLAIN, ffn=DenseFFN(width=64), parallel=True),
            "3 x attention, 64 heads of 128; ffn of 64, side by side",
        ),
    ],
)
def test_groups_of_layers_in_words(group: Block, expected: str) -> None:
    assert words.block(group) == expected


def test_steps_in_words() -> None:
    assert words.step(Decode(2048.0)) == "generate 2,048 tokens"
    assert words.step(Prefill(7.0)) == "read 7 tokens"
    assert words.step(Pause(90.0)) == "pause for 90 s"


def test_drafts_in_words(catalog: Catalog) -> None:
    """With a chance a of each of k tokens, a step yields (1 − a^(k+1))/(1 − a) (arXiv 2211.17192)."""
    small = catalog.model("llama-3.2-1b")
    assert words.speculation(Speculation(tokens=2.0, acceptance=0.5, model=small)) == (
        "2 tokens a step, each right with 0.5, drafted by llama-3.2-1b: 1.75 tokens a step"
    )
    assert words.speculation(Speculation(tokens=3.0, acceptance=0.9, cost=0.0)).endswith(
        ", at 0 of a step each: 3.44 tokens a step"
    )


def test_every_kind_of_mixer_and_ffn_has_words(catalog: Catalog) -> None:
    models = [catalog.model(name) for name in catalog.files(KINDS["model"])]
    parts = {
        type(item): item for model in models for block in model.blocks for item in (block.mixer, block.ffn) if item
    }
    told = {kind: words.part(item) for kind, item in parts.items()}
    assert set(told) >= {*get_args(AttentionMixer), *get_args(LinearMixer), *get_args(FFN)}
    assert len({text.split(",")[0] for text in told.values()}) == len(told)


def test_an_expert_for_all_is_told_with_its_width_only_where_it_differs() -> None:
    alike = MoE(experts=8, top_k=2, width=64, shared=2, shared_width=64)
    assert words.part(alike) == "2 of 8 experts of 64, 2 shared"
    assert words.part(replace(alike, shared_width=128)) == "2 of 8 experts of 64, 2 shared of 128"


def test_constants_that_say_something_are_shown(catalog: Catalog) -> None:
    """A law's constants by name, those that do nothing left out."""
    values = {field["key"]: field["value"] for field in entry("hopper", catalog)["fields"]}
    names = re.findall(r"[a-z]+(?= [0-9])", values["achieved.kernels.experts"])
    assert names == ["compute", "memory", "latency", "overlap", "half"]


@pytest.mark.parametrize(
    ("name", "begins"),
    [("h100-sxm", "The Llama 3 Herd of Models"), ("h200-sxm", "NVIDIA Hopper: The Llama 3 Herd of Models")],
)
def test_how_often_a_chip_fails_is_shown_with_who_says_so(catalog: Catalog, name: str, begins: str) -> None:
    found = next(field for field in entry(name, catalog)["fields"] if field["key"] == "reliability.chip_mtbf")
    assert found["value"] == "50,677 h of one chip between failures of a job"
    assert found["source"].startswith(begins)


def test_what_nobody_counted_is_not_shown(catalog: Catalog) -> None:
    assert not [field for field in entry("mi300x", catalog)["fields"] if field["key"].startswith("reliability")]


def test_operations_of_a_training_run_are_shown(catalog: Catalog) -> None:
    fields = {field["key"]: field for field in entry("llama-3.1-405b-pretraining", catalog)["fields"]}
    told = {key.removeprefix("operations."): field for key, field in fields.items() if key.startswith("operations.")}
    assert {key: field["value"] for key, field in told.items()} == {
        "checkpoint_interval": "the best one",
        "checkpoint_stall": "9.4 s",
        "restart": "660 s",
    }
    assert all("504 B200" in field["source"] for field in told.values())


def test_stated_intervals_and_stragglers_are_shown(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: llama-3.1-405b-pretraining\nid: mine\noperations: {checkpoint_interval: 30 min, stragglers: 2 %}\n",
        encoding="utf-8",
    )
    values = {field["key"]: field["value"] for field in entry(str(path), catalog)["fields"]}
    assert values["operations.checkpoint_interval"] == "1800 s"
    assert values["operations.stragglers"] == "0.02 of a step more"


@pytest.mark.parametrize("name", Catalog().files(KINDS["stack"]))
def test_whatever_a_stack_states_is_shown(catalog: Catalog, name: str) -> None:
    """Each group of its file, but for rates of one time."""
    stack = catalog.stack(name)
    stated = {path for path in stack.sources if not path.startswith("variants.")}
    shown = {key for key, value in stack_fields(stack) if value is not None}
    rates = {name: getattr(stack, name) for name in ("latency", "compute", "memory", "flow")} | dict(stack.rates)
    assert stated - shown == {f"rates.{name}" for name, rate in rates.items() if rate == 1.0} & stated
