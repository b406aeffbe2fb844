"""What a step takes when two things work on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.engine.usage import Effort

ONE = Effort(time=2.0, ideal_time=1.0, bound=1.0, chip_seconds=8.0, energy=300.0, usd=0.5)
OTHER = Effort(time=3.0, ideal_time=2.5, bound=2.0, chip_seconds=4.0, energy=100.0, usd=0.25)


def test_efforts_one_after_the_other_add_up() -> None:
    both = ONE.beside(OTHER)
    told = (both.time, both.ideal_time, both.chip_seconds, both.energy, both.usd)
    assert told == (5.0, 3.5, 12.0, 400.0, 0.75)


def test_the_longer_one_binds() -> None:
    assert ONE.beside(OTHER).bound == OTHER.beside(ONE).bound == 2.0
    assert np.all(np.equal(np.asarray(ONE.beside(replace(OTHER, time=np.array([1.0, 3.0]))).bound), [1.0, 2.0]))
    nothing = Effort(time=9.0)
    assert ONE.beside(nothing).bound == nothing.beside(ONE).bound == 1.0


@pytest.mark.parametrize("name", ["energy", "usd"])
def test_what_is_not_known_of_one_is_not_known_of_both(name: str) -> None:
    told: dict[str, Any] = {name: None}
    unknown = replace(OTHER, **told)
    for both in (ONE.beside(unknown), unknown.beside(ONE)):
        assert getattr(both, name) is None
        assert {field for field in ("energy", "usd") if getattr(both, field) is None} == {name}
