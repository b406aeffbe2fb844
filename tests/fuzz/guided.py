"""Coverage-guided input for what reads files and expressions, by atheris (`pip install atheris`).

    python tests/fuzz/guided.py chip -max_total_time=600

The first word is a subject of `mutated.py`; the rest are options of libFuzzer. It stops at the first input that breaks
something, and writes it to a file.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["roofline"]):
    import roofline.api
    import roofline.studies.sweep.where  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from roofline.errors import RooflineError
from tests.fuzz.mutated import limited
from tests.fuzz.subjects import subjects


def main() -> None:
    """Fuzz one subject until libFuzzer's limits, or until something breaks."""
    folder = Path(tempfile.mkdtemp())
    wanted = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    subject = next((subject for subject in subjects(folder) if subject.name == wanted), None)
    if subject is None:
        sys.exit(f"name a subject: {', '.join(subject.name for subject in subjects(Path(tempfile.mkdtemp())))}")
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(subject.seeds):
        (corpus / str(index)).write_text(seed, encoding="utf-8")

    def feed(raw: bytes) -> None:
        with limited(subject.seconds), contextlib.suppress(RooflineError):
            subject.feed(raw.decode("utf-8", errors="surrogateescape"))

    atheris.Setup([*sys.argv, str(corpus)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
