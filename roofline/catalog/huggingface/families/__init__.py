"""Families of architectures: for each `model_type` a function that reads its configuration into layers.

Keys, defaults and shapes are those of the classes of transformers 5.24 (PyPI), or where it has none, of the
configuration and code in the repositories of the makers. Functions are called as the `model_type` that they read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.decoder import Family
from roofline.catalog.huggingface.families import early, experts, gemma, hybrid, latent, plain
from roofline.errors import did_you_mean

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {**plain.FAMILIES, **early.FAMILIES, **gemma.FAMILIES, **experts.FAMILIES, **latent.FAMILIES, **hybrid.FAMILIES}
)


def family(config: Config) -> tuple[str, Family] | None:
    """The family that a configuration is of, by the class that it names or else its `model_type`, and the function that
    reads it; None and a fault if there is none."""
    kind = config.text("model_type")
    named = [name for name in config.items("architectures") or [] if isinstance(name, str)]
    stems = [re.sub(r"(For[A-Z]|LMHead|Model).*", "", name).lower() for name in named]
    by_class = {name.replace("_", ""): name for name in FAMILIES}
    found = next((by_class[stem] for stem in stems if stem in by_class), kind)
    if found in FAMILIES:
        return found, FAMILIES[found]
    called = kind or ", ".join(named)
    near = did_you_mean(called, FAMILIES, most=1)
    hint = f"; is it {near}?" if near else ""
    what = f"no family {called!r} is known{hint}" if called else "missing, and no class is named in architectures"
    config.fault("model_type", f"{what}; known: {', '.join(sorted(FAMILIES))}")
    return None
