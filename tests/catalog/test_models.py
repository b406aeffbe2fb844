"""Models and workloads that ship: what their makers state is met or explained, and every name leads to one file."""

from __future__ import annotations

from collections import Counter

import pytest

from roofline.catalog.specs.job import JobSpec
from roofline.catalog.specs.model import ModelSpec
from roofline.catalog.store import KINDS, Catalog
from roofline.workload import Decode, Model, Prefill, Serving, Training

MODELS = sorted(Catalog().files(KINDS["model"]))
JOBS = [(kind, name) for kind in ("serving", "training") for name in sorted(Catalog().files(KINDS[kind]))]


@pytest.mark.parametrize("name", MODELS)
def test_active_parameters_are_met_or_explained(catalog: Catalog, name: str) -> None:
    spec, model = catalog.spec("model", name), catalog.model(name)
    assert isinstance(spec, ModelSpec)
    published = spec.published_parameters
    stated = published.active if published else None
    if published and stated is not None:
        assert abs(model.active_parameters / 1e9 / stated - 1) < 0.005 or published.differs
    assert stated is None or model.active_parameters < model.parameters


def test_models_without_a_published_size_say_so(catalog: Catalog) -> None:
    specs = [spec for name in MODELS if isinstance(spec := catalog.spec("model", name), ModelSpec)]
    unstated = [spec for spec in specs if spec.published_parameters is None]
    assert [spec.id for spec in unstated if "The makers' total was not read." not in spec.note] == []


def test_every_name_leads_to_one_file(catalog: Catalog) -> None:
    """Models, requests and training runs share one name space on the command line."""
    names: Counter[str] = Counter()
    for kind in ("model", "serving", "training"):
        for name in catalog.files(KINDS[kind]):
            names.update({name, *catalog.spec(kind, name).aliases})
    assert [name for name, uses in names.items() if uses > 1] == []


@pytest.mark.parametrize("name", MODELS)
def test_aliases_find_their_model(catalog: Catalog, name: str) -> None:
    for alias in catalog.spec("model", name).aliases:
        assert catalog.model(alias).id == name
        assert catalog.model(alias.upper()).id == name


@pytest.mark.parametrize(
    ("variant", "base"),
    [
        ("deepseek-r1", "deepseek-v3"),
        ("llama-3-8b", "llama-3.1-8b"),
        ("llama-3-70b", "llama-3.1-70b"),
        ("llama-3.3-70b", "llama-3.1-70b"),
    ],
)
def test_variants_share_their_blocks_not_their_names(catalog: Catalog, variant: str, base: str) -> None:
    assert catalog.model(variant).blocks == catalog.model(base).blocks
    assert catalog.model(variant).name != catalog.model(base).name
    assert catalog.model(variant).sources["shape"] != catalog.model(base).sources["shape"]


@pytest.mark.parametrize(("kind", "name"), JOBS)
def test_every_workload_has_a_model_that_takes_it(catalog: Catalog, kind: str, name: str) -> None:
    spec, job = catalog.spec(kind, name), catalog.workload(name)
    assert isinstance(spec, JobSpec)
    assert spec.model in MODELS
    assert not isinstance(job, Model)
    assert job.sources["lengths"].title
    if isinstance(job, Serving):
        assert job.context_len <= job.model.max_context
    elif not job.lora_rank:  # fine-tuning may stretch the context
        assert job.seq_len <= job.model.max_context


@pytest.mark.parametrize("name", [name for kind, name in JOBS if kind == "serving"])
def test_requests_read_before_they_write(catalog: Catalog, name: str) -> None:
    job = catalog.workload(name)
    assert isinstance(job, Serving)
    assert isinstance(job.steps[0], Prefill)
    assert isinstance(job.steps[-1], Decode)


@pytest.mark.parametrize("name", [name for kind, name in JOBS if kind == "training"])
def test_training_runs_have_whole_steps(catalog: Catalog, name: str) -> None:
    """From a thousand steps (fine-tuning) to twenty million (a benchmark's batch on all of a corpus)."""
    job = catalog.workload(name)
    assert isinstance(job, Training)
    steps = float(job.tokens / (job.seq_len * job.global_batch))
    assert 1e3 <= steps <= 2e7


def test_each_size_class_has_a_pretraining(catalog: Catalog) -> None:
    runs = [catalog.workload(name) for kind, name in JOBS if kind == "training"]
    full = [run.model for run in runs if isinstance(run, Training) and not run.lora_rank]
    assert any(model.parameters < 20e9 for model in full)
    assert any(50e9 < model.parameters < 100e9 for model in full)
    assert any(model.parameters > 150e9 and model.active_parameters == model.parameters for model in full)
    assert any(model.active_parameters < model.parameters for model in full)
