"""The command line: one module for each command, each a few lines between the arguments and a public function."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 fine, 1 something was found, 2 bad usage or bad input, 70 a bug."""
    from roofline.cli.app import app
    from roofline.errors import RooflineError

    try:
        app(prog_name="roofline")
    except RooflineError as error:
        print(f"roofline: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        import traceback

        traceback.print_exc()
        print("roofline: this is a bug; please report it with the command that you ran", file=sys.stderr)
        sys.exit(70)
