"""Every number that can be turned: of a chip, its software, its plan, what costs rest on, and the work."""

from __future__ import annotations

from roofline.studies.knobs import hardware, plan, software, terms, work
from roofline.studies.knobs.knob import Case, Knob


def knobs(case: Case) -> list[Knob]:
    """Every knob of a case that has a value: those of the chip, of its software, of costs, of the work."""
    return [knob for part in (hardware, software, terms, work) for knob in part.knobs(case) if knob.known]


def axes(case: Case) -> list[Knob]:
    """Everything that a mesh of a case can have as an axis: also what nobody knows, and the plan, which a search would
    choose anew."""
    return [knob for part in (work, plan, hardware, software, terms) for knob in part.knobs(case)]
