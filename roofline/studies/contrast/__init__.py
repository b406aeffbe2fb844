"""Training and inference of one model side by side, each row counted and timed by the engine."""

from roofline.studies.contrast.study import contrast, require_fit

__all__ = ["contrast", "require_fit"]
