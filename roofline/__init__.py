"""roofline: predicts how fast a chip runs a large language model, before anyone buys the chip.

Every command of the command line is a function here:

>>> import roofline as rl
>>> result = rl.predict("llama-3.1-70b-chat", "8xh100-sxm", batch=64)
>>> result["fits"]
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Catalog",
    "Result",
    "RooflineError",
    "calibrate",
    "check",
    "compare",
    "contrast",
    "decide",
    "explain",
    "import_bench",
    "import_model",
    "lint",
    "live",
    "market",
    "measure",
    "new",
    "plan",
    "predict",
    "show",
    "sweep",
    "validate",
    "whatif",
]

if TYPE_CHECKING:
    from roofline.api import (
        Catalog,
        Result,
        calibrate,
        check,
        compare,
        contrast,
        decide,
        explain,
        import_bench,
        import_model,
        lint,
        live,
        market,
        measure,
        new,
        plan,
        predict,
        show,
        sweep,
        validate,
        whatif,
    )
    from roofline.errors import RooflineError


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: `roofline --help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'roofline' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("roofline.errors" if name == "RooflineError" else "roofline.api"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
