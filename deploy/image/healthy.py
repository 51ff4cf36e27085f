"""Whether the mirror in this container lives: exit code 0 if /livez says so, 1 with one line if not.

/livez never depends on the API server: a mirror that lost it goes on serving what it holds.
"""

from __future__ import annotations

import os
import sys
import urllib.request

# Less than HEALTHCHECK's own timeout, so that the reason is told.
SECONDS = 2.0


def main() -> int:
    """Ask once."""
    port = os.environ.get("KUBEMIRROR_PORT", "8080")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=SECONDS):
            return 0
    except OSError as error:
        sys.stderr.write(f"not alive: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
