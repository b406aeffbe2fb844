"""Finding files: order of precedence, aliases, overlays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roofline.catalog.document import parse
from roofline.catalog.specs.chip import ChipSpec
from roofline.catalog.store import KINDS, Catalog, load, merge
from roofline.cli.ask import Ask
from roofline.errors import RooflineError, SpecError, UnknownNameError
from roofline.studies.show import entry


def overlay(root: Path, name: str, text: str) -> Path:
    folder = root / "chips"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def quick(name: str, tdp: int) -> str:
    return f"extends: h100-sxm\nid: {name}\nname: Mine\npower: {{tdp: {tdp} W, source: mine}}\nsources: {{mine: {{title: Me}}}}\n"


def test_first_match_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, folder in enumerate(("given", "environment", "work/.roofline/hardware", "config/roofline/hardware")):
        overlay(tmp_path / folder, "mine", quick("mine", 100 + index))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert Catalog().chip("mine").tdp == 103
    (tmp_path / "work" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "work" / "below")
    assert Catalog().chip("mine").tdp == 102
    monkeypatch.setenv("ROOFLINE_HARDWARE_DIR", str(tmp_path / "environment"))
    assert Catalog().chip("mine").tdp == 101
    assert Catalog((tmp_path / "given",)).chip("mine").tdp == 100


def test_where_a_file_comes_from_and_what_it_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROOFLINE_HARDWARE_DIR", os.pathsep.join((str(tmp_path / "first"), str(tmp_path / "second"))))
    first = overlay(tmp_path / "first", "l40s", quick("l40s", 1))
    second = overlay(tmp_path / "second", "l40s", quick("l40s", 2).replace("extends: h100-sxm", "extends: l40s"))
    project = overlay(tmp_path / ".roofline" / "hardware", "l40s", quick("l40s", 3).replace("h100-sxm", "l40s"))
    shown = entry("l40s", Catalog())
    assert (shown["path"], shown["origin"]) == (str(first), "ROOFLINE_HARDWARE_DIR")
    assert [(item["origin"], item["extended"]) for item in shown["over"]][:2] == [
        ("ROOFLINE_HARDWARE_DIR", False),
        ("project", False),
    ]
    assert {item["origin"] for item in shown["over"][2:]} == {"shipped"}
    shown = entry("l40s", Catalog((project.parent.parent,)))
    assert shown["origin"] == "--hardware-dir"
    assert shown["over"][0] == {"path": str(first), "origin": "ROOFLINE_HARDWARE_DIR", "extended": True}
    assert entry(str(second), Catalog())["origin"] == "ROOFLINE_HARDWARE_DIR"
    monkeypatch.delenv("ROOFLINE_HARDWARE_DIR")
    assert entry(str(second), Catalog())["origin"] == "path"
    assert entry(str(second), Catalog())["over"] == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("nothing", "no such folder"),
        ("astray", "mine.yaml belongs into one of them, e.g."),
    ],
)
def test_folders_that_are_not_laid_out_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str, message: str
) -> None:
    folder = tmp_path / make
    if make == "astray":
        folder.mkdir()
        (folder / "mine.yaml").write_text(quick("mine", 5), encoding="utf-8")
    for ask in (Ask({"hardware_dir": [folder]}), Ask()):
        with pytest.raises(RooflineError, match=message):
            ask.catalog  # noqa: B018
        monkeypatch.setenv("ROOFLINE_HARDWARE_DIR", str(folder))


def test_a_user_file_shadows_a_shipped_one(tmp_path: Path) -> None:
    overlay(tmp_path, "l40s", quick("l40s", 1))
    assert Catalog((tmp_path,)).chip("l40s").tdp == 1
    assert Catalog().chip("l40s").tdp == 350


@pytest.mark.parametrize(
    ("alias", "name"),
    [("h100", "h100-sxm"), ("nvidia-h100-sxm", "h100-sxm"), ("H100-80GB", "h100-sxm"), ("trn2", "trainium2")],
)
def test_aliases_are_names_too(catalog: Catalog, alias: str, name: str) -> None:
    assert catalog.chip(alias).id == name


@pytest.mark.parametrize("spelling", ["H100-SXM", "h100_sxm", " H100 SXM ", "NVIDIA-H100-SXM", "NVIDIA H100 80GB HBM3"])
def test_case_spaces_and_underscores_do_not_matter(catalog: Catalog, spelling: str) -> None:
    assert catalog.chip(spelling).id == "h100-sxm"


@pytest.mark.parametrize(
    ("kind", "spelling", "name"),
    [("chip", "RTX 4090", "rtx-4090"), ("chip", "MI300X", "mi300x"), ("model", "Qwen2.5-72B-Instruct", "qwen2.5-72b")],
)
def test_names_as_people_spell_them(catalog: Catalog, kind: str, spelling: str, name: str) -> None:
    assert catalog.spec(kind, spelling).id == name


def test_a_stem_that_no_id_could_have_is_found_as_written(tmp_path: Path) -> None:
    overlay(tmp_path, "My_Chip", quick("mine", 7))
    assert Catalog((tmp_path,)).chip("My_Chip").tdp == 7


def test_model_aliases(catalog: Catalog) -> None:
    assert catalog.model("llama3.1-70b").id == "llama-3.1-70b"


def test_aliases_and_ids_are_unique(catalog: Catalog) -> None:
    for kinds in (("chip", "system"), ("model", "serving", "training"), ("stack",)):
        names: list[str] = []
        for kind in kinds:
            for stem in catalog.files(KINDS[kind]):
                names += [stem, *catalog.spec(kind, stem).aliases]
        assert len(names) == len(set(names))


def test_unknown_names_suggest(catalog: Catalog) -> None:
    with pytest.raises(UnknownNameError) as error:
        catalog.chip("h10-sxm")
    assert str(error.value) == (
        "no chip 'h10-sxm'; did you mean 'h100-sxm' or 'h800-sxm' or 'h200-sxm'? ('roofline show chips' lists all)"
    )
    with pytest.raises(UnknownNameError, match=r"no workload 'llama-3.1-70b-chatt'; did you mean 'llama-3.1-70b-chat'"):
        catalog.workload("llama-3.1-70b-chatt")


def test_an_overlay_changes_only_what_it_says(tmp_path: Path, catalog: Catalog) -> None:
    text = (
        "extends: h100-sxm\nid: fast\nname: Fast\n"
        "memory:\n  - {name: HBM3, bandwidth: 9 TB/s}\n"
        "compute: {peaks: {bf16: {dense: 2 PFLOP/s, sparse: 4 PFLOP/s}}}\n"
    )
    chip, base = catalog.chip(str(overlay(tmp_path, "fast", text))), catalog.chip("h100-sxm")
    assert chip.bandwidth == 9e12
    assert chip.main_memory.capacity == base.main_memory.capacity
    assert chip.peaks["bf16"].dense == 2e15
    assert chip.peaks["fp8"] == base.peaks["fp8"]
    assert chip.links == base.links
    assert chip.sources["memory.HBM3"] == base.sources["memory.HBM3"]


def test_an_overlay_of_a_path(tmp_path: Path, catalog: Catalog) -> None:
    overlay(tmp_path, "base", quick("base", 5))
    child = overlay(tmp_path, "child", "extends: ./base.yaml\nid: child\nname: Child\n")
    assert catalog.chip(str(child)).tdp == 5


def test_faults_point_into_the_file_that_has_them(tmp_path: Path) -> None:
    base = overlay(tmp_path, "base", quick("base", 5).replace("5 W", "5 kg"))
    child = overlay(tmp_path, "child", "extends: ./base.yaml\nid: child\nname: Child\n")
    with pytest.raises(SpecError) as error:
        Catalog().chip(str(child))
    assert str(error.value).startswith(f"{base}:4:14: power.tdp: unknown unit 'kg'")


@pytest.mark.parametrize("length", [1, 2, 3])
def test_circles_are_refused(tmp_path: Path, length: int) -> None:
    paths = [
        overlay(tmp_path, f"c{i}", f"extends: ./c{(i + 1) % length}.yaml\nid: c{i}\nname: C\n") for i in range(length)
    ]
    with pytest.raises(SpecError, match=r"extends: goes in a circle: c0\.yaml -> "):
        load(paths[0], ChipSpec)


def test_an_unknown_base_suggests(tmp_path: Path) -> None:
    path = overlay(tmp_path, "x", "extends: h100-sxn\nid: x\nname: X\n")
    with pytest.raises(SpecError, match=r"x\.yaml:1:10: extends: no chip 'h100-sxn'; did you mean 'h100-sxm'"):
        Catalog().chip(str(path))


def test_kinds_are_told_by_their_keys_or_their_base(tmp_path: Path, catalog: Catalog) -> None:
    marks = {
        "chip": "compute: {}",
        "stack": "overheads: {}",
        "model": "blocks: []",
        "training": "tokens: 1",
        "serving": "model: any\nsteps: []",
        "scenario": "steps: []",
    }
    for kind, text in marks.items():
        assert catalog.kind_of(parse(text)) == kind
    assert catalog.kind_of(parse("extends: llama-3.1-8b-chat")) == "serving"
    assert catalog.kind_of(parse("extends: llama-3.1-8b-chat\nsteps: []")) == "serving"
    assert catalog.kind_of(parse("extends: llama-3.1-8b")) == "model"
    overlay(tmp_path, "base", quick("base", 5))
    assert catalog.kind_of(parse("extends: ./base.yaml", str(tmp_path / "chips" / "child.yaml"))) == "chip"
    with pytest.raises(SpecError, match="can't tell what this file is; it has none of the keys compute"):
        catalog.kind_of(parse("a: 1"))
    with pytest.raises(SpecError, match="extends: no file 'nothing'"):
        catalog.kind_of(parse("extends: nothing"))


def test_merging_keeps_the_rest() -> None:
    base = {"a": {"x": 1, "y": 2}, "l": [{"name": "p", "v": 1}, {"name": "q", "v": 2}], "n": [1, 2]}
    over = {"a": {"y": 3}, "l": [{"name": "q", "v": 5}, {"name": "r"}], "n": [9]}
    assert merge(base, over) == {
        "a": {"x": 1, "y": 3},
        "l": [{"name": "p", "v": 1}, {"name": "q", "v": 5}, {"name": "r"}],
        "n": [9],
    }
