"""Real configurations, read into models that equal those of the catalogue, and those that public code has counted.

`configs.jsonl` holds the keys that matter of each, with where it was read. `model` is the catalogue's name of the same;
`counted` are parameters that public repositories state for it, of the real classes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.families import FAMILIES
from roofline.catalog.huggingface.model import Imported, Origin, imported
from roofline.catalog.store import KINDS, Catalog
from roofline.errors import SpecError
from roofline.workload import MLA, Attention, Block, DenseFFN, Model, MoE

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "configs.jsonl").read_text(encoding="utf-8").splitlines()
]
BY_NAME = {row["name"]: row for row in ROWS}
KNOWN = [row for row in ROWS if row["model"]]
COUNTED = [row for row in ROWS if "counted" in row]
ORIGIN = Origin("imported", "Imported", "config.json of a test")

# What the classes count and a model file leaves out: the bias of the output matrix.
LEFT_OUT = {"phi-1_5": 51_200, "gpt-j-6b": 50_400}
# A window of so many tokens before a token, or with it: the catalogue counts itself in.
WINDOWS = {"phi-3-mini": 2048}
# Configurations that have the shape of a catalogue's model and another format or context: what sets them apart.
OTHER_FORMATS = {
    "nvidia/Gemma-4-31B-IT-NVFP4": "narrowed after release",
    "nvidia/Gemma-4-26B-A4B-NVFP4": "narrowed after release",
    "nvidia/GLM-5.1-NVFP4": "narrowed after release",
    "nvidia/Kimi-K2.5-NVFP4": "narrowed after release",
    "Qwen/Qwen3-32B-FP8": "released beside that of 16 bits",
    "Qwen/Qwen3-32B-FP8-Static-PerTensor": "narrowed after release",
    "sgl-project/DeepSeek-V4-Pro-FP8": "widened after release",
}
OTHER_CONTEXTS = {
    "Qwen/Qwen3-VL-2B-Instruct": "trained further with images",
    "Qwen/Qwen3-VL-4B-Instruct": "trained further with images",
    "Qwen/Qwen3-VL-235B-A22B-Instruct": "trained further with images",
    "Llama-2-7b": "the first release said 2,048",
    "Llama-2-13b": "the first release said 2,048",
    "Llama-2-70b": "the first release said 2,048",
    "Qwen2-1.5B": "Qwen 2; the catalogue has Qwen 2.5",
    "Qwen2-7B": "the instruction-tuned one; the base reaches 131,072",
    "Qwen2-57B-A14B": "the instruction-tuned one; the base reaches 131,072",
    "MiniMax-M1": "ten times what its makers state",
}


def read(config: dict[str, Any]) -> Imported:
    return imported(Config(config), Path("config.json"), ORIGIN)


def shape(model: Model) -> dict[str, Any]:
    """All that a configuration decides but the order of groups, the format and the context."""
    blocks = frozenset(model.blocks)
    return {
        "hidden": model.hidden, "vocab": model.vocab, "blocks": blocks, "tied": model.tied_embeddings,
        "positions": model.learned_positions, "norm_bias": model.norm_bias, "quantised": model.quantised,
    }  # fmt: skip


def test_the_page_names_every_family() -> None:
    page = (Path(__file__).parents[3] / "docs" / "import.md").read_text(encoding="utf-8")
    listed = page.partition("<!-- families -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"`([^`]+)`", listed) == sorted(FAMILIES, key=str.lower)


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row["name"])
def test_the_catalogue_has_the_format_and_the_context_of_the_configuration(
    catalog: Catalog, row: dict[str, Any]
) -> None:
    """Where it states them: block-scaled FP8 is not plain FP8, float16 not bfloat16, a class's default no context."""
    found, known = read(row["config"]).model, catalog.model(row["model"])
    stated = {"torch_dtype", "dtype", "quantization_config"} & _keys(row["config"])
    formats = [(model.dtype, model.quantised, model.rest) for model in (found, known)]
    assert (not stated or formats[0] == formats[1]) == (row["name"] not in OTHER_FORMATS)
    assert (found.max_context in (0, known.max_context)) == (row["name"] not in OTHER_CONTEXTS)


def _keys(config: dict[str, Any]) -> set[str]:
    """Keys of a configuration and of its parts."""
    return set(config).union(*(_keys(part) for part in config.values() if isinstance(part, dict)))


def test_there_are_enough_of_them() -> None:
    assert len(ROWS) == len(BY_NAME) > 100
    assert len({row["model"] for row in KNOWN}) > 75
    assert all(row["origin"] for row in ROWS)


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row["name"])
def test_a_configuration_is_the_model_of_the_catalogue(catalog: Catalog, row: dict[str, Any]) -> None:
    found, known = read(row["config"]).model, catalog.model(row["model"])
    window = WINDOWS.get(row["model"])
    if window:
        (block,) = found.blocks
        assert isinstance(block.mixer, Attention)
        found = replace(found, blocks=(replace(block, mixer=replace(block.mixer, window=window)),))
    assert found.parameters == known.parameters
    assert found.active_parameters == known.active_parameters
    assert found.cache_values_per_token == known.cache_values_per_token
    quantised = "quantization_config" in str(row["config"])
    wanted = shape(known) | ({"quantised": found.quantised} if quantised else {})
    assert shape(found) == wanted


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row["name"])
def test_parameters_are_those_that_were_counted(row: dict[str, Any]) -> None:
    assert read(row["config"]).model.parameters == row["counted"] - LEFT_OUT.get(row["name"], 0)


def test_every_family_reads_one_of_them() -> None:
    seen = {read(row["config"]).architecture for row in ROWS}
    # the same readers under other names of their type
    alike = {
        "RefinedWeb", "RefinedWebModel", "phi-msft", "step3p7_text", "minimax", "minimax_text_01", "minimax_m1",
        "kimi_k2", "qwen3_5_text", "qwen3_5_moe_text", "qwen2_5_vl_text", "seed_oss", "smollm3", "granite", "cohere2",
        "granitemoe",
    }  # fmt: skip
    assert set(FAMILIES) - seen <= alike


def test_every_architecture_of_the_catalogue_is_reached(catalog: Catalog) -> None:
    """Kinds of mixer and ffn that a shipped model has, and an imported one, too."""

    def made(model: Model) -> set[tuple[str, ...]]:
        return {(type(block.mixer).__name__, type(block.ffn).__name__) for block in model.blocks}

    shipped = {pair for name in catalog.files(KINDS["model"]) for pair in made(catalog.model(name))}
    reached = {pair for row in ROWS for pair in made(read(row["config"]).model)}
    assert shipped <= reached


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_model_file_says_what_was_read(row: dict[str, Any]) -> None:
    found = read(row["config"])
    assert found.text.startswith("format: 1\nid: imported\n")
    assert "sources:\n  config: {title: " in found.text
    assert found.model.layers == sum(block.count for block in found.model.blocks)


# Second derivations, by hand from the published shapes.


def test_llama_nemotron_super_by_hand() -> None:
    """49.9 B: 80 layers, of which 31 have no attention; widths are multiples of 256 near two thirds of mult · hidden."""
    found = read(BY_NAME["nvidia/Llama-3_3-Nemotron-Super-49B-v1"]["config"]).model
    h, groups = 8192, 64 // 8
    parts = BY_NAME["nvidia/Llama-3_3-Nemotron-Super-49B-v1"]["config"]["block_configs"]
    total = 2 * 128256 * h + h
    for part in parts:
        if not part["attention"]["no_op"]:
            total += 2 * h * h + 2 * h * groups * 128 + h
        if not part["ffn"]["no_op"]:
            width = -(-int(2 * part["ffn"]["ffn_mult"] * h / 3) // 256) * 256
            total += 3 * h * width + h
    assert found.parameters == total
    assert found.parameters == pytest.approx(49.9e9, rel=2e-3)


def test_granite_4_tiny_by_its_card() -> None:
    """7 B, of which a token uses 1 B and more (its model card)."""
    found = read(BY_NAME["granite-4.0-h-tiny"]["config"]).model
    assert found.parameters == pytest.approx(6.94e9, rel=5e-3)
    assert 1e9 < found.active_parameters < 1.5e9


def test_falcon_mamba_by_its_card() -> None:
    """7.27 B (its model card): 64 layers of 4096, inner width 8192, rank of dt 256."""
    h, inner = 4096, 8192
    layer = 2 * h * inner + 5 * inner + inner * (256 + 32) + 256 * inner + inner + inner * 16 + inner + inner * h + h
    assert read(BY_NAME["falcon-mamba-7b"]["config"]).model.parameters == 64 * layer + 2 * 65024 * h + h


def test_layers_keep_the_order_in_which_they_first_appear() -> None:
    blocks = read(BY_NAME["zai-org/GLM-5.2"]["config"]).model.blocks
    assert [type(block.ffn) for block in blocks] == [DenseFFN, MoE, MoE]
    assert sum(block.count for block in blocks) == 78


# What configurations say one way or another.


def llama(**keys: Any) -> dict[str, Any]:
    base = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_attention_heads": 4, "num_hidden_layers": 3, "vocab_size": 100, "torch_dtype": "bfloat16",
    }  # fmt: skip
    return {key: value for key, value in {**base, **keys}.items() if value is not ...}


def only(config: dict[str, Any]) -> Block:
    (block,) = read(config).model.blocks
    return block


def test_without_kv_heads_every_head_has_its_own() -> None:
    mixer = only(llama()).mixer
    assert isinstance(mixer, Attention)
    assert (mixer.kv_heads, mixer.head_dim) == (4, 16)


@pytest.mark.parametrize(
    ("keys", "changed"),
    [
        ({"num_key_value_heads": 2}, lambda block: block.mixer.kv_heads == 2),
        ({"head_dim": 32}, lambda block: block.mixer.head_dim == 32),
        ({"attention_bias": True}, lambda block: block.mixer.bias and block.mixer.output_bias),
        ({"mlp_bias": True}, lambda block: block.ffn.bias),
        ({"num_hidden_layers": 5.0}, lambda block: block.count == 5),
    ],
)
def test_every_key_of_a_plain_decoder_counts(keys: dict[str, Any], changed: Callable[[Any], bool]) -> None:
    assert not changed(only(llama()))
    assert changed(only(llama(**keys)))


def test_tables_are_tied_where_the_family_or_the_file_says_so() -> None:
    assert not read(llama()).model.tied_embeddings
    assert read(llama(tie_word_embeddings=True)).model.tied_embeddings
    gemma = llama(architectures=["GemmaForCausalLM"], model_type="gemma")
    assert read(gemma).model.tied_embeddings


def test_a_class_is_looked_at_before_a_type() -> None:
    grok = {**BY_NAME["grok-1"]["config"]}
    assert grok["model_type"] == "mixtral"
    assert read(grok).architecture == "grok1"
    assert read({**llama(), "architectures": ["Unheard"]}).architecture == "llama"
    assert read(llama(model_type=...)).architecture == "llama"


def test_windows_that_are_never_full_are_none() -> None:
    mistral = llama(architectures=["MistralForCausalLM"], max_position_embeddings=1000)
    reaches = {
        window: only({**mistral, "sliding_window": window}).mixer.reach  # type: ignore[union-attr]
        for window in (None, 500, 1000, 5000)
    }
    assert reaches == {None: "full", 500: "sliding", 1000: "full", 5000: "full"}


def test_layers_slide_where_qwen_says_so() -> None:
    qwen = llama(
        architectures=["Qwen2ForCausalLM"], sliding_window=32, use_sliding_window=True, max_window_layers=1
    )  # fmt: skip
    found = read(qwen).model.blocks
    assert [(block.count, block.mixer.reach) for block in found] == [(1, "full"), (2, "sliding")]  # type: ignore[union-attr]
    assert only({**qwen, "use_sliding_window": False}).mixer.reach == "full"  # type: ignore[union-attr]


def test_stated_layer_types_stand_before_the_usual_ones() -> None:
    gemma = {
        **llama(architectures=["Gemma3ForCausalLM"], sliding_window=16),
        "layer_types": ["full_attention", "full_attention", "sliding_attention"],
    }
    counts = Counter({block.mixer.reach: block.count for block in read(gemma).model.blocks})  # type: ignore[union-attr]
    assert counts == {"full": 2, "sliding": 1}


def test_decoders_are_found_inside_models_that_see() -> None:
    seeing = {"model_type": "llava", "text_config": llama(), "vision_config": {"hidden_size": 9}}
    found = read(seeing)
    assert found.model == read(llama()).model
    assert found.notes[0] == "Text decoder only."
    outside = {**seeing, "tie_word_embeddings": True}
    assert read(outside).model.tied_embeddings


def test_an_indexer_may_be_in_some_layers_only() -> None:
    """GLM-5.2 lists them; its frequency of four behind the first three says the same."""
    config = BY_NAME["zai-org/GLM-5.2"]["config"]
    unlisted = {key: value for key, value in config.items() if key not in ("indexer_types", "mlp_layer_types")}
    spaced = {"first_k_dense_replace": 3, "index_topk_freq": 4, "index_skip_topk_offset": 3}
    assert read({**unlisted, **spaced}).model == read(config).model
    assert read({**unlisted, **spaced, "index_topk_freq": 2}).model != read(config).model
    own = sum(
        block.count
        for block in read(config).model.blocks
        if isinstance(block.mixer, MLA) and block.mixer.selection and block.mixer.selection.heads
    )
    assert own == 21


FAULTS = [
    ({"model_type": "lama", "architectures": ...}, "model_type: no family 'lama' is known; is it 'llama'?"),
    ({"model_type": ..., "architectures": ...}, "model_type: missing, and no class is named in architectures; known: "),
    ({"hidden_size": ...}, "hidden_size: missing (or n_embd or d_model or n_embed)"),
    ({"intermediate_size": ...}, "intermediate_size: missing"),
    ({"vocab_size": "many"}, "vocab_size: must be a whole number, got 'many'"),
    ({"num_hidden_layers": 0}, "num_hidden_layers: must be a whole number from 1 to 1,000,000,000,000, got 0"),
    ({"num_hidden_layers": 10**6}, "num_hidden_layers: 1,000,000 layers are more than 10,000"),
    ({"num_attention_heads": 5}, "head_dim: missing, and 5 heads do not divide a width of 64"),
    ({"num_key_value_heads": 3}, "num_key_value_heads: 3 do not divide 4 heads"),
    ({"attention_bias": "no"}, "attention_bias: must be true or false, got 'no'"),
    ({"tie_word_embeddings": 1}, "tie_word_embeddings: must be true or false, got 1"),
    ({"layer_types": ["full_attention"]}, "layer_types: has 1 entries for 3 layers"),
    ({"layer_types": ["mamba"] * 3}, "layer_types: 'mamba' is no kind of layer that can be imported; known: full_att"),
    ({"head_dim": 10**30}, "head_dim: must be a whole number from 1 to 1,000,000,000,000, got 1000000000000000000000"),
]


@pytest.mark.parametrize(("keys", "message"), FAULTS, ids=[message.partition(":")[0] for _, message in FAULTS])
def test_what_is_wrong_is_told(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        read(llama(**keys))
    assert f"config.json: {message}" in str(error.value)


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(SpecError) as error:
        read({"model_type": "qwen3_moe"})
    told = [finding.key for finding in error.value.findings]
    assert {"hidden_size", "vocab_size", "num_attention_heads", "num_experts", "num_experts_per_tok"} <= set(told)
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("gpt2", {"n_positions": ...}, "n_positions: missing"),
        ("opt-125m", {"do_layer_norm_before": False}, "do_layer_norm_before: false: norms after"),
        ("opt-125m", {"word_embed_proj_dim": 512}, "word_embed_proj_dim: tables of 512 for a width of 768"),
        ("phi-1_5", {"qk_layernorm": True}, "qk_layernorm: true: not modelled"),
        ("DeepSeek-V2-Lite", {"attention_bias": True}, "attention_bias: true: biases of latent attention"),
        ("Qwen1.5-MoE-A2.7B", {"num_experts_per_tok": 61}, "num_experts_per_tok: 61 of 60 experts"),
        (
            "nvidia/Nemotron-H-56B-Base-8K",
            {"hybrid_override_pattern": "M?M"},
            "'?' is no kind of layer; known: M * - E",
        ),
        ("nvidia/Nemotron-H-56B-Base-8K", {"num_hidden_layers": 7}, "has 118 marks for 7 layers"),
        ("deepseek-ai/DeepSeek-V4-Flash", {"compress_ratios": ...}, "compress_ratios: missing"),
        ("XiaomiMiMo/MiMo-V2-Flash", {"hybrid_layer_pattern": ...}, "hybrid_layer_pattern: missing (or layer_types)"),
        ("granite-4.0-h-tiny", {"layer_types": ...}, "layer_types: missing"),
        ("stepfun-ai/Step-3.7-Flash", {"num_sliding_attention_heads": 96}, "num_sliding_attention_heads: other than"),
    ],
)
def test_what_families_need_or_can_t_have_is_told(name: str, keys: dict[str, Any], message: str) -> None:
    config = {key: value for key, value in {**BY_NAME[name]["config"], **keys}.items() if value is not ...}
    with pytest.raises(SpecError, match=r"config\.json: ") as error:
        read(config)
    assert message in str(error.value)


def test_shared_caches_and_embeddings_of_layers_are_refused() -> None:
    config = BY_NAME["google/gemma-4-26B-A4B"]["config"]
    inner = {**config["text_config"], "num_kv_shared_layers": 4}
    with pytest.raises(SpecError, match=r"text_config\.num_kv_shared_layers: above 0"):
        read({**config, "text_config": inner})
