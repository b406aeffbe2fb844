"""What if: numbers of a chip, its software, its costs or its work turned, one by one or together, and solved for."""

from __future__ import annotations

from roofline.studies.whatif.study import whatif

__all__ = ["whatif"]
