"""The look of every chart, and how one becomes a file: the same drawing gives the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow, told apart with any kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#000000")
SUFFIXES = (".png", ".svg", ".pdf")
INK, FAINT = "0.25", "0.45"
STYLE = {
    "svg.hashsalt": "roofline", "svg.fonttype": "none", "pdf.fonttype": 42, "font.family": "DejaVu Sans",
    "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": FAINT,
    "axes.labelcolor": INK, "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "text.parse_math": False,
}  # fmt: skip


def save(
    draw: Callable[[Figure], None], path: Path, *, suffix: str | None = None, size: tuple[float, float] = (9.6, 6.0)
) -> None:
    """What `draw` puts on a figure, into a file; `suffix` if the path's own is another, `size` in inches.

    Raises `OutputError` for another suffix and what can't be written.
    """
    kind = (suffix or path.suffix).lower()
    if kind not in SUFFIXES:
        raise OutputError(f"{path}: charts are drawn as {', '.join(SUFFIXES)}")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metadata = {"Date": None} if kind == ".svg" else {"CreationDate": None} if kind == ".pdf" else None
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        mpl.rcdefaults()  # a user's own style must not change the drawing
        settings: Any = mpl.rcParams
        settings.update(STYLE)
        figure = Figure(figsize=size, dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        try:
            figure.savefig(path, format=kind[1:], metadata=metadata)
        except OSError as error:
            raise OutputError(f"{path}: can't be written: {(error.strerror or str(error)).lower()}") from None
