"""Everything that ships: sound, sourced, and checked twice."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pydantic
import pytest

from roofline.catalog import json_schema
from roofline.catalog.document import read
from roofline.catalog.specs.chip import ChipSpec
from roofline.catalog.specs.common import Identified
from roofline.catalog.specs.model import ModelSpec
from roofline.catalog.store import KINDS, Catalog, load
from roofline.errors import SpecError
from roofline.machine import Family
from roofline.studies.lint import lint_file

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    (kind, path) for kind in KINDS.values() for path in sorted((ROOT / kind.root / kind.folder).rglob("*.yaml"))
] + [(KINDS["chip"], ROOT / "examples" / "my-asic.yaml"), (KINDS["economics"], ROOT / "examples" / "our-prices.yaml")]
IDS = [path.stem for _, path in FILES]


def spec_of(catalog: Catalog, kind: str, path: Path) -> Identified:
    return load(path, KINDS[kind].spec, catalog.resolver(kind))


@pytest.mark.parametrize(("kind", "path"), FILES, ids=IDS)
def test_no_fault_and_no_warning(catalog: Catalog, kind: object, path: Path) -> None:
    assert [str(finding) for finding in lint_file(path, catalog)] == []


@pytest.mark.parametrize(("kind", "path"), FILES, ids=IDS)
def test_every_number_has_a_source_with_a_date_or_a_fingerprint(catalog: Catalog, kind: object, path: Path) -> None:
    spec = spec_of(catalog, kind.name, path)  # type: ignore[attr-defined]
    for source in spec.sources.values():
        assert source.title
        assert source.date or "sha256" in source.title, source.title


@pytest.mark.parametrize(("kind", "path"), FILES, ids=IDS)
def test_the_json_schema_agrees(kind: object, path: Path) -> None:
    schema = json.loads(json_schema.path(kind.name).read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    jsonschema.Draft7Validator(schema).validate(read(path).data)


@pytest.mark.skipif(
    tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) < (2, 12),
    reason="older pydantic words schemas otherwise",
)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_committed_schema_is_fresh(kind: str) -> None:
    """`python -m roofline.catalog.json_schema` writes them."""
    assert json_schema.path(kind).read_text(encoding="utf-8") == json_schema.text(kind)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("700 W", "700"),
        ("3.35 TB/s", "3.35 TFLOP/s"),
        ("kind: gpu", "kind: box"),
        ("chips: 8", "chips: 0"),
        ("power:", "pover:"),
        ("per: direction, ", ""),
        ("compute: 0.779", "compute: 1.5"),
    ],
)
def test_both_validators_refuse_the_same(tmp_path: Path, old: str, new: str) -> None:
    text = (ROOT / "hardware/chips/nvidia/h100-sxm.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "h100-sxm.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError):
        load(path, KINDS["chip"].spec)
    schema = json.loads(json_schema.path("chip").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft7Validator(schema).iter_errors(read(path).data))


MODELS = sorted(Catalog().files(KINDS["model"]))


@pytest.mark.parametrize("name", MODELS)
def test_published_sizes_are_met_or_explained(catalog: Catalog, name: str) -> None:
    spec = catalog.spec("model", name)
    assert isinstance(spec, ModelSpec)
    published = spec.published_parameters
    computed = catalog.model(name).parameters / 1e9
    assert published is None or published.differs or abs(computed / published.total - 1) < 0.005


# A second derivation of peaks: units x FLOP per cycle and unit x clock, from the vendors' architecture papers.
ARITHMETIC = {
    "h100-sxm": ("bf16", 132 * 4 * 512 * 2 * 1.83e9),  # 132 SM, 4 tensor cores of 512 FMA
    "a100-sxm-80gb": ("bf16", 108 * 4 * 256 * 2 * 1.41e9),  # 108 SM, 4 tensor cores of 256 FMA
    "tpu-v5e": ("bf16", 4 * 128 * 128 * 2 * 1.5e9),  # 4 arrays of 128x128 at 1.5 GHz
    "mi300x": ("bf16", 304 * 2048 * 2.1e9),  # 304 CU of 2048 FLOP a cycle
}


@pytest.mark.parametrize("name", sorted(ARITHMETIC))
def test_peaks_follow_from_the_architecture(catalog: Catalog, name: str) -> None:
    dtype, expected = ARITHMETIC[name]
    assert float(catalog.chip(name).peaks[dtype].dense) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("name", sorted(Catalog().files(KINDS["chip"])))
def test_usual_stacks_exist(catalog: Catalog, name: str) -> None:
    for stack in catalog.chip(name).stacks.values():
        assert catalog.stack(stack).id == stack


CHIPS = sorted(Catalog().files(KINDS["chip"]))

# Formats that every chip of a family multiplies: one left out would be priced as if it were widened, at half the rate.
FORMATS = {
    "ada": {"bf16", "fp16", "fp8"},
    "ampere": {"fp16", "int8"},
    "blackwell": {"bf16", "fp16", "fp8", "int8", "fp4"},
    "hopper": {"bf16", "fp16", "tf32", "fp8", "int8"},
    "neuron": {"bf16", "fp16", "fp8", "fp32"},
    "tensix": {"fp16", "fp8"},
    "tpu": {"bf16"},
}


@pytest.mark.parametrize("name", CHIPS)
def test_a_chip_multiplies_what_its_family_does(catalog: Catalog, name: str) -> None:
    chip = catalog.chip(name)
    assert FORMATS.get(str(chip.family), set()) <= set(chip.peaks)


def own_kernels(catalog: Catalog, name: str) -> set[str]:
    """Kernels whose constants the file of a chip states itself."""
    spec = catalog.spec("chip", name)
    assert isinstance(spec, ChipSpec)
    return {str(kernel) for kernel in spec.achieved.kernels}


@pytest.mark.parametrize("name", CHIPS)
def test_what_was_not_measured_on_a_chip_comes_from_its_family(catalog: Catalog, name: str) -> None:
    """A chip's own constants win; its family's fill the rest."""
    chip = catalog.chip(name)
    family = catalog.family(chip.family) if chip.family in catalog.families() else Family(id=name, name="")
    rest = {kernel: reached for kernel, reached in chip.achieved.items() if kernel not in own_kernels(catalog, name)}
    assert rest == {kernel: family.kernels[kernel] for kernel in rest}


@pytest.mark.parametrize("name", CHIPS)
def test_sources_say_whose_constants_they_are(catalog: Catalog, name: str) -> None:
    """Those of a family begin with its name, those of the chip's own file do not."""
    chip, own = catalog.chip(name), own_kernels(catalog, name)
    title = catalog.family(chip.family).name if chip.family in catalog.families() else ""
    marked = {kernel: chip.sources[f"achieved.kernels.{kernel}"].title.startswith(title) for kernel in chip.achieved}
    assert marked == {kernel: kernel not in own for kernel in chip.achieved}


@pytest.mark.parametrize("name", CHIPS)
def test_how_often_chips_fail_is_their_own_or_their_familys(catalog: Catalog, name: str) -> None:
    """A family's stands in and says so; a chip with neither has none."""
    chip, spec = catalog.chip(name), catalog.spec("chip", name)
    assert isinstance(spec, ChipSpec)
    family = catalog.family(chip.family) if chip.family in catalog.families() else Family(id=name, name="")
    assert chip.mtbf == (spec.reliability.chip_mtbf if spec.reliability else family.mtbf)
    assert (chip.mtbf is None) == ("reliability" not in chip.sources)
    if chip.mtbf is not None:
        assert chip.sources["reliability"].title.startswith(f"{family.name}: ") == (spec.reliability is None)


# Seconds between failures of one chip, from the counts of their sources: events, chips, days.
FAILURES = {
    "h100-sxm": (419, 16384, 54),
    "hopper": (419, 16384, 54),
    "b200-sxm": (10, 504, 73),
    "blackwell": (10, 504, 73),
}


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_lifetimes_follow_from_the_failures_counted(catalog: Catalog, name: str) -> None:
    events, chips, days = FAILURES[name]
    found = catalog.family(name) if name in catalog.families() else catalog.chip(name)
    assert found.mtbf == pytest.approx(chips * days * 86400 / events, rel=1e-4)


def test_a_lifetime_of_a_projection(catalog: Catalog) -> None:
    """1.8 h between failures of a job on 16,384 chips."""
    assert catalog.family("ampere").mtbf == pytest.approx(16384 * 1.8 * 3600, rel=1e-4)


def test_every_stored_format_can_be_written_in_files() -> None:
    from typing import get_args

    from roofline.catalog.specs.common import StoredDType
    from roofline.workload import DTYPES

    assert set(get_args(StoredDType)) == set(DTYPES)
