"""Models of Hugging Face as model files: what is written, what it is checked against, and where it comes from."""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import roofline as rl
from roofline.catalog import document
from roofline.catalog.huggingface.checkpoint import INDEX, SINGLE
from roofline.catalog.huggingface.model import CONFIG, QUANTISED
from roofline.catalog.store import Catalog
from roofline.errors import OutputError, RooflineError
from roofline.studies.importing import hub
from roofline.studies.importing.model import disagreement, import_model

Save = Callable[[str, Any], Path]
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
PARAMETERS = 8_030_261_248  # of Llama 3.1 8B, as its checkpoint has them
NAME = "someone/our-model"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_that_is_written_is_a_model(save: Save, here: Path, catalog: Catalog) -> None:
    result = import_model(str(save(CONFIG, LLAMA)), catalog, name="our-model")
    written = here / "our-model.yaml"
    assert (result["written"], written.read_text(encoding="utf-8")) == ("our-model.yaml", result["text"])
    model = catalog.model(str(written))
    (about,) = result["rows"]
    assert model.parameters == about["parameters"] == pytest.approx(PARAMETERS, rel=1e-4)
    assert (about["active_parameters"], about["kv_cache_bytes_per_token"]) == (about["parameters"], 131072)
    assert (about["architecture"], about["max_context"], about["dtype"]) == ("llama", 131072, "bf16")
    assert result["same_shape"] == ["llama-3-8b", "llama-3.1-8b"]
    parsed = document.parse(result["text"]).data
    assert [source["title"] for source in parsed["sources"].values()] == [f"{CONFIG} of {here.name} (file {CONFIG})"]
    chat: dict[str, Any] = {"phase": "decode", "batch": 8, "context_len": 1000}
    found, known = (rl.predict(name, "h100-sxm", **chat) for name in (str(written), "llama-3.1-8b"))
    assert found["metrics"] == known["metrics"]


def test_names_come_from_where_a_configuration_is(here: Path, catalog: Catalog) -> None:
    folder = here / "Our_Model.v2"
    folder.mkdir()
    text = json.dumps(LLAMA)
    (folder / CONFIG).write_text(text, encoding="utf-8")
    (here / "org--Name-8B_config.json").write_text(text, encoding="utf-8")
    (here / "named.json").write_text(json.dumps({**LLAMA, "_name_or_path": "org/Inner-8B"}), encoding="utf-8")
    places = (str(folder), str(folder / CONFIG), "org--Name-8B_config.json", "named.json")
    ids = [import_model(place, catalog, save=False)["rows"][0]["id"] for place in places]
    assert ids == ["our-model.v2", "our-model.v2", "name-8b", "inner-8b"]
    with pytest.raises(RooflineError, match="give one with --id"):
        import_model(places[0], catalog, name="//", save=False)


def test_files_that_exist_are_kept(save: Save, here: Path, catalog: Catalog) -> None:
    path = str(save(CONFIG, LLAMA))
    (here / "m.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"m\.yaml exists already; name it with -o"):
        import_model(path, catalog, name="m")
    assert (here / "m.yaml").read_text(encoding="utf-8") == "mine"
    import_model(path, catalog, name="m", out="m.yaml")
    assert catalog.model(str(here / "m.yaml")).layers == 32
    (here / "folder").mkdir()
    with pytest.raises(OutputError, match="folder: is a folder; name a file"):
        import_model(path, catalog, out="folder")
    assert sorted(path.name for path in here.iterdir()) == [CONFIG, "folder", "m.yaml"]


def test_a_checkpoint_beside_agrees_or_is_told(save: Save, catalog: Catalog) -> None:
    path = str(save(CONFIG, LLAMA))
    names = {"model.layers.0.mlp.up_proj.weight": "a.safetensors"}
    save(INDEX, {"metadata": {"total_size": PARAMETERS * 2}, "weight_map": names})
    right = import_model(path, catalog, save=False)
    assert (right["checkpoint"]["agrees"], disagreement(right)) == (True, "")
    save(INDEX, {"metadata": {"total_size": PARAMETERS * 4}, "weight_map": names})
    wrong = import_model(path, catalog, save=False)
    assert wrong["checkpoint"]["agrees"] is False
    assert "16,060,522,496 parameters, the shape has 8,030,261,248 (+100.0%)" in disagreement(wrong)


def test_a_single_file_beside_is_read_from_its_header(save: Save, here: Path, catalog: Catalog) -> None:
    path = str(save(CONFIG, LLAMA))
    text = json.dumps({"model.x.weight": {"dtype": "BF16", "shape": [PARAMETERS], "data_offsets": [0, 0]}}).encode()
    (here / SINGLE).write_bytes(struct.pack("<Q", len(text)) + text)
    held = import_model(path, catalog, save=False)["checkpoint"]
    assert (held["parameters"], held["exact"], held["agrees"]) == (PARAMETERS, True, True)


def test_quantisation_beside_is_read(save: Save, catalog: Catalog) -> None:
    path = str(save(CONFIG, LLAMA))
    save(
        QUANTISED,
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}},
    )
    assert import_model(path, catalog, save=False)["rows"][0]["dtype"] == "fp8"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "config.json"),
        ("[]", "config.json"),
        ("{", "config.json:1"),
        ("{}", "model_type: missing"),
        ('{"model_type": "abacus"}', "abacus"),
        (json.dumps({"model_type": "llama", "hidden_size": 8}), "num_hidden_layers: missing"),
    ],
)
def test_what_a_configuration_lacks_is_told(save: Save, catalog: Catalog, content: str, message: str) -> None:
    with pytest.raises(RooflineError) as error:
        import_model(str(save(CONFIG, content)), catalog, save=False)
    assert message in str(error.value)


@pytest.mark.parametrize("place", ["no/such/place", "none.json", "/", ".", ""])
def test_places_without_a_configuration_are_told(here: Path, catalog: Catalog, place: str) -> None:
    with pytest.raises(RooflineError, match=r"no such file or folder|holds no config\.json"):
        import_model(place, catalog, save=False)


# -- the hub


class Missing(Exception):  # noqa: N818, as the library calls it
    """What the library raises for a file that a repository has not."""


@pytest.fixture
def library(here: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A stand-in for huggingface_hub that has these files of one repository."""
    files: dict[str, str] = {CONFIG: json.dumps(LLAMA)}
    snapshot = here / "snapshot"
    snapshot.mkdir()

    def download(name: str, file: str, **_: Any) -> str:
        if name != NAME:
            raise OSError("404 Client Error\nRepository Not Found")
        if file not in files:
            raise Missing(file)
        (snapshot / file).write_text(files[file], encoding="utf-8")
        return str(snapshot / file)

    def cached(name: str, file: str) -> str | None:
        return download(name, file) if name == NAME and "kept" in files else None

    made = ModuleType("huggingface_hub")
    errors = ModuleType("huggingface_hub.errors")
    constants = ModuleType("huggingface_hub.constants")
    vars(made).update(hf_hub_download=download, try_to_load_from_cache=cached, constants=constants, errors=errors)
    vars(errors)["EntryNotFoundError"] = Missing
    vars(constants)["ENDPOINT"] = "https://hub.invalid"
    for module in (made, errors, constants):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return files


def test_a_repository_is_fetched_with_what_tells_of_its_weights(
    library: dict[str, str], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_answers", lambda _: True)
    result = import_model(NAME, catalog, save=False)
    assert (result["rows"][0]["id"], result["checkpoint"]) == ("our-model", None)
    assert f"https://huggingface.co/{NAME}/blob/main/{CONFIG}" in result["text"]
    library[INDEX] = json.dumps(
        {"metadata": {"total_size": PARAMETERS * 2}, "weight_map": {"model.x": "a.safetensors"}}
    )
    library[QUANTISED] = json.dumps({"quantization": {"quant_algo": "FP8"}})
    result = import_model(NAME, catalog, save=False)
    assert result["rows"][0]["dtype"] == "fp8"
    assert result["checkpoint"]["path"].endswith(INDEX)
    with pytest.raises(
        RooflineError, match="someone/else: can't be read from the Hugging Face hub: OSError: 404 Client"
    ):
        import_model("someone/else", catalog, save=False)


def test_a_hub_that_does_not_answer_is_told_at_once(library: dict[str, str], catalog: Catalog) -> None:
    start = time.monotonic()
    with pytest.raises(RooflineError, match=r"https://hub\.invalid does not answer; download config\.json"):
        import_model(NAME, catalog, save=False)
    assert time.monotonic() - start < 6.0
    library["kept"] = ""
    assert import_model(NAME, catalog, save=False)["rows"][0]["id"] == "our-model"


def test_without_the_library_it_is_told_how_to_get_it(
    here: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RooflineError, match=r"no such file or folder; .* pip install 'roofline\[hub\]'"):
        import_model(NAME, catalog, save=False)


def test_the_api_is_the_command(save: Save, here: Path) -> None:
    path = save(CONFIG, LLAMA)
    assert rl.import_model(path, name="m")["written"] is None
    assert rl.import_model(path, name="m", save=True)["written"] == "m.yaml"
    assert rl.import_model(path, out="n.yaml")["rows"][0]["id"] == path.parent.name.replace("_", "-")
    assert sorted(path.name for path in here.glob("*.yaml")) == ["m.yaml", "n.yaml"]
