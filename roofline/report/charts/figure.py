"""The look of every chart, what all of them say, and how one becomes a file: the same drawing gives the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from roofline.errors import OutputError
from roofline.files import refused
from roofline.report.charts.placement import Box
from roofline.report.text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    from matplotlib.text import Text

    metadata = {"Date": None} if kind == ".svg" else {"CreationDate": None} if kind == ".pdf" else None
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        mpl.rcdefaults()  # a user's own style must not change the drawing
        settings: Any = mpl.rcParams
        settings.update(STYLE)
        figure = Figure(figsize=size, dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        for told in figure.findobj(Text):
            told.set_text(clean(told.get_text()))  # what is no character of XML would make the file none
        with refused(path):
            figure.savefig(path, format=kind[1:], metadata=metadata)


def title(figure: Figure, text: str, below: str, *, rows: int = 0) -> float:
    """The title at the left of a figure, in plain type what is drawn `below` it; everything else is kept under both,
    and under `rows` for a key, whose top is returned, as a share of the height."""
    points = 72.0 * figure.get_figheight()
    lines = wrap(below, 150)
    figure.text(0.01, 1.0 - 6.0 / points, text, va="top", fontsize=11, fontweight="bold")
    figure.text(0.01, 1.0 - 23.0 / points, "\n".join(lines), va="top", fontsize=8.5, color=INK, linespacing=1.3)
    top = 1.0 - (22.0 + 13.0 * len(lines)) / points
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.0, 0.0, 1.0, top - 13.0 * rows / points), h_pad=0.09)
    return top


def footer(figure: Figure, *lines: str) -> None:
    """The source line at the foot of a figure, with what else has to be said there."""
    told = "\n".join(part for line in lines if line for part in wrap(line, 190))
    figure.supxlabel(told, fontsize=6.5, color=FAINT, x=0.01, ha="left", linespacing=1.4)


def evidence_line(predictions: Sequence[Mapping[str, Any]]) -> str:
    """What stands behind expected times: deployments by the kind of their evidence."""
    by_kind: dict[str, list[str]] = {}
    for item in predictions:
        by_kind.setdefault(item["evidence"]["calibration"], []).append(item["deployment"]["label"])
    return "; ".join(f"{kind}: {', '.join(labels)}" for kind, labels in by_kind.items())


def box_of(drawn: Any) -> Box:
    """The rectangle in pixels that something drawn, such as a text, covers."""
    box = drawn.get_window_extent()
    return Box(box.x0, box.y0, box.x1, box.y1)


def pixels_per_point(axes: Axes) -> float:
    """Pixels of one point on paper."""
    return axes.figure.dpi / 72
