"""Money: what rented chips cost per token and per run."""

from __future__ import annotations

from roofline.machine import Chip
from roofline.numeric import Num


def usd_per_second(chip: Chip, num_chips: Num) -> Num | None:
    """Rent of all chips [USD/s]; None where no rent is known."""
    return None if chip.price.hourly is None else chip.price.hourly * num_chips / 3600.0


def usd_per_million(rent: Num | None, tokens_per_s: Num) -> Num | None:
    """USD for a million tokens at that rate."""
    return None if rent is None else rent / tokens_per_s * 1e6
