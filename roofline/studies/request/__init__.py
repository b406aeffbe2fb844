"""What a user asks for, as text and options, resolved against the catalogue: workloads and deployments."""

from roofline.studies.request.asked import Options, flag, options
from roofline.studies.request.deployments import plan_settings, resolve_deployment, unplanned
from roofline.studies.request.settings import (
    COUNTS,
    DEGREES,
    FORMAT_KEYS,
    MOST,
    PARTS,
    PLAN_KEYS,
    SHAPE,
    SWITCHES,
    setting,
)
from roofline.studies.request.workloads import TRAINING_ONLY, check_order, resolve_workload, work_of
from roofline.studies.request.written import Wanted, chip_of, label, meant, parse_deployment

__all__ = [
    "COUNTS",
    "DEGREES",
    "FORMAT_KEYS",
    "MOST",
    "PARTS",
    "PLAN_KEYS",
    "SHAPE",
    "SWITCHES",
    "TRAINING_ONLY",
    "Options",
    "Wanted",
    "check_order",
    "chip_of",
    "flag",
    "label",
    "meant",
    "options",
    "parse_deployment",
    "plan_settings",
    "resolve_deployment",
    "resolve_workload",
    "setting",
    "unplanned",
    "work_of",
]
