"""Which rows calibrate and which score: a fixed hash of what was measured, so that no row scores itself.

A serving row is told by chip, model and software; a kernel by chip, shape and software. All rows of one such group
fall on the same side, two in three for calibration, and the side does not depend on how a source spells its names.
"""

from __future__ import annotations

from hashlib import sha256

SET_ASIDE = "set aside for scoring"  # why a row is not fitted to


def calibrates(chip: str, subject: str, software: str) -> bool:
    """Whether the rows of a group are for calibration; otherwise they score.

    >>> calibrates("h100-sxm", "llama-3.1-70b", "vllm")
    True
    """
    return sha256(f"{chip}|{subject}|{software}".encode()).digest()[0] % 3 != 0


def on_side(calibration: bool | None, chip: str, subject: str, software: str) -> bool:
    """Whether the rows of a group are on the side for calibration (True) or scoring (False); None takes both."""
    return calibration is None or calibrates(chip, subject, software) == calibration
