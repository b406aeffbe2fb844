"""Predictions under test: whether they moved and why, whether they keep what was promised, how accurate they are."""

from roofline.studies.check.study import CHECK_SCHEMA, check, demand

__all__ = ["CHECK_SCHEMA", "check", "demand"]
