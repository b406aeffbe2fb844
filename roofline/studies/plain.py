"""Numbers of the engine as plain ones, for JSON."""

from __future__ import annotations

import numpy as np

from roofline.numeric import Num


def number(value: Num | None) -> float | None:
    """A float for JSON: None for what is not known or not finite."""
    if value is None:
        return None
    result = float(value)
    return result if np.isfinite(result) else None
