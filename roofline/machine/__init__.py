"""What runs the work: chips, the wiring between them and the software on them. SI floats or arrays, no files."""

from roofline.machine.chip import (
    Chip,
    Efficiency,
    EnergyCosts,
    EnergyShares,
    Family,
    Host,
    Link,
    LinkEfficiency,
    Memory,
    Peak,
    Price,
)
from roofline.machine.economics import Economics, TokenPrices
from roofline.machine.stack import Stack
from roofline.machine.system import Shape, System

__all__ = [
    "Chip",
    "Economics",
    "Efficiency",
    "EnergyCosts",
    "EnergyShares",
    "Family",
    "Host",
    "Link",
    "LinkEfficiency",
    "Memory",
    "Peak",
    "Price",
    "Shape",
    "Stack",
    "System",
    "TokenPrices",
]
