"""Knobs of a plan: its degrees and, of training, its other counts and shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any

from roofline.numeric import Num
from roofline.studies import request
from roofline.studies.knobs.knob import Case, Knob, Turn
from roofline.workload import Serving


def knobs(case: Case) -> Iterator[Knob]:
    """All of them; of serving the degrees alone."""
    serves = isinstance(case.job, Serving)
    for name in request.DEGREES if serves else request.COUNTS:
        least, most = request.COUNTS[name]
        yield Knob(
            name, "", float(getattr(case.deployment.plan, name)), _field(name), least=float(least),
            most=inf if most == request.MOST else float(most), whole=True, smooth=False, optional=not least,
            degree=name in request.DEGREES,
        )  # fmt: skip
    for name in () if serves else request.PARTS:
        yield Knob(name, "1", float(getattr(case.deployment.plan, name)), _field(name), most=1.0, optional=True)


def _field(name: str) -> Turn:
    def turn(case: Case, value: Num) -> Case:
        told: dict[str, Any] = {name: value}
        return Case(case.job, case.deployment_with(replace(case.deployment.plan, **told)))

    return turn
