"""Names of the catalogue that begin as somebody typed."""

from __future__ import annotations

from pathlib import Path

from roofline.catalog import overlays


def stems(*folders: str) -> list[str]:
    """Ids of the files in folders of all places: file stems alone, nothing is parsed, so completion stays fast."""
    package = Path(__file__).resolve().parent.parent
    found: set[str] = set()
    for name in folders:
        root, _, inside = name.partition("/")
        own = overlays.project(root)
        places = [*overlays.environment(root), *([own] if own else []), overlays.user(root)]
        for place in (*places, package / "_data" / root, package.parent / root):
            found |= {path.stem for path in (place / inside).rglob("*.yaml")}
    return sorted(found)


def complete_workload(incomplete: str) -> list[str]:
    """Names of workloads and models that begin so."""
    names = stems("workloads/serving", "workloads/training", "workloads/models")
    return [name for name in names if name.startswith(incomplete)]


def complete_scenario(incomplete: str) -> list[str]:
    """Names of scenarios that begin so."""
    return [name for name in stems("workloads/scenarios") if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Names of models that begin so."""
    return [name for name in stems("workloads/models") if name.startswith(incomplete)]


def complete_deployment(incomplete: str) -> list[str]:
    """Names of chips and systems that begin so, behind a count if one is written."""
    count, separator, rest = incomplete.partition("x")
    prefix = count + separator if separator and count.isdecimal() else ""
    wanted = rest if prefix else incomplete
    return [prefix + name for name in stems("hardware/chips", "hardware/systems") if name.startswith(wanted)]


def complete_stack(incomplete: str) -> list[str]:
    """Names of stacks that begin so."""
    return [name for name in stems("hardware/stacks") if name.startswith(incomplete)]


def complete_assumptions(incomplete: str) -> list[str]:
    """Names of what costs rest on that begin so."""
    return [name for name in stems("hardware/economics") if name.startswith(incomplete)]


def complete_entry(incomplete: str) -> list[str]:
    """Names of everything in the catalogue, and of its groups."""
    groups = ["chips", "systems", "models", "workloads", "scenarios", "needs", "economics", "stacks", "families"]
    names = [*groups, *stems("hardware", "workloads")]
    return [name for name in names if name.startswith(incomplete)]
