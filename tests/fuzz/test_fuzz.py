"""The first inputs of `mutated.py`, always the same; a hundred thousand others are for an evening."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_mutated_input_never_breaks_anything() -> None:
    script = Path(__file__).with_name("mutated.py")
    ran = subprocess.run([sys.executable, script, "--inputs", "500"], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
