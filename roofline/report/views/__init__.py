"""Views: what a report of each kind of result shows, as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.report.document import Document


def view(result: Mapping[str, Any], **options: Any) -> Document:
    """The document of a result, by its schema; `options` are the view's own (`width`, `all_rows`)."""
    from roofline.report.views import (
        calibration,
        catalogue,
        check,
        comparison,
        contrast,
        decision,
        explanation,
        imported,
        lint,
        market,
        plan,
        prediction,
        sweep,
        validation,
        variation,
        whatif,
    )

    kinds = {
        "calibration": calibration.view,
        "prediction": prediction.view,
        "comparison": comparison.view,
        "contrast": contrast.view,
        "decision": decision.view,
        "catalogue": catalogue.listing,
        "check": check.view,
        "entry": catalogue.entry,
        "explanation": explanation.view,
        "import": imported.view,
        "lint": lint.view,
        "market": market.view,
        "plan": plan.view,
        "sweep": sweep.view,
        "validation": validation.view,
        "variation": variation.view,
        "whatif": whatif.view,
    }
    kind = str(result["schema"]).removeprefix("roofline.").partition("/")[0]
    return kinds[kind](result, **options)
