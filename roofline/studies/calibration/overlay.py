"""Calibrated constants as files: overlays that extend what they were fitted for, with where their numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from roofline.machine import Efficiency, LinkEfficiency
from roofline.units import parse

Tree = Mapping[str, "str | Tree"]


def seconds(value: float) -> str:
    """Seconds as a file writes them, in microseconds.

    >>> seconds(2.777e-06), seconds(0.0)
    ('2.78 us', '0 us')
    """
    return f"{value * 1e6:.3g} us"


def number(value: float) -> str:
    """A plain number to three significant digits, without exponent.

    >>> number(0.74567), number(1e-12), number(1234.5)
    ('0.746', '0', '1230')
    """
    rounded = float(f"{value:.3g}")
    return "0" if abs(rounded) < 1e-6 else f"{rounded:.10g}" if abs(rounded) < 1e9 else f"{rounded:.3g}"


def rounded(name: str, value: float) -> float:
    """A constant as it will be read back."""
    return parse(seconds(value), "s") if name in TIMES else float(number(value))


TIMES = ("latency", "split", "step", "operator", "layer", "request", "prefill")


def kernel(reached: Efficiency, source: str) -> str:
    """One entry of `achieved.kernels`, only what differs from the datasheet."""
    ideal = Efficiency()
    names = ("compute", "memory", "latency", "overlap", "half", "fill", "split", "score")
    fields = ((name, float(getattr(reached, name))) for name in names if getattr(reached, name) != getattr(ideal, name))
    return _flow(fields, source)


def link(reached: LinkEfficiency, source: str) -> str:
    """One entry of `achieved.links`."""
    names = ("bandwidth", "latency", "step", "overlap")
    return _flow(((name, float(getattr(reached, name))) for name in names), source)


def _flow(fields: Iterator[tuple[str, float]], source: str) -> str:
    shown = [f"{name}: {seconds(value) if name in TIMES else number(value)}" for name, value in fields]
    return "{" + ", ".join([*shown, f"source: {source}"]) + "}"


def text(kind: str, name: str, body: Tree, sources: Mapping[str, str]) -> str:
    """A whole overlay file: `extends` the entry of its own name, what was fitted, sources."""
    lines = [
        f"# yaml-language-server: $schema=../../../roofline/catalog/schema/{kind}.schema.json",
        "# Written by `roofline calibrate`: change the measurements, not this file.",
        f"extends: {name}",
        f"id: {name}",
    ]
    for key, value in body.items():
        lines += ["", *_block(key, value, 0)] if value else []
    return "\n".join([*lines, "", *_block("sources", sources, 0)]) + "\n"


def _block(key: str, value: str | Tree, level: int) -> Iterator[str]:
    """One key of a file, mappings indented below it."""
    indent = "  " * level
    if not value:
        return
    if isinstance(value, str):
        yield f"{indent}{key}: {value}"
        return
    yield f"{indent}{key}:"
    for inner, item in value.items():
        yield from _block(inner, item, level + 1)


def write(folder: Path, kind_folder: str, name: str, content: str) -> Path:
    """Write one file, by way of a temporary one, so that nothing half written is ever read."""
    path = folder / kind_folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
    return path
