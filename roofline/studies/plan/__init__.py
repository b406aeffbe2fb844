"""The inverse question: which deployments of given chips keep given limits, and which of them is best."""

from roofline.studies.plan.study import plan

__all__ = ["plan"]
