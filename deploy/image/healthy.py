"""Whether the mirror in this container lives: exit code 0 if /livez says so, 1 with one line if not.

/livez never depends on the API server: a mirror that lost it goes on serving what it holds. Where the mirror listens
is what its variables say, which this process shares; its flags are not seen from here.
"""

from __future__ import annotations

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

# Less than HEALTHCHECK's own timeout, so that the reason is told.
SECONDS = 2.0
# Every address is none to connect to.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
# As the settings read a variable that is yes or no.
YES = {"1", "on", "t", "true", "y", "yes"}


def connection() -> HTTPConnection:
    """To the mirror of this container itself, so neither by a proxy nor asking for a certificate that is known."""
    host = os.environ.get("KUBEMIRROR_HOST", "127.0.0.1")
    host, port = LOOPBACK.get(host, host), int(os.environ.get("KUBEMIRROR_PORT", "8080"))
    self_signed = os.environ.get("KUBEMIRROR_TLS_SELF_SIGNED", "").lower() in YES
    if not self_signed and not os.environ.get("KUBEMIRROR_TLS_CERT"):
        return HTTPConnection(host, port, timeout=SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=SECONDS, context=context)


def main() -> int:
    """Ask once."""
    asking = connection()
    try:
        asking.request("GET", "/livez")
        status = asking.getresponse().status
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"not alive: {error}\n")
        return 1
    finally:
        asking.close()
    if status != 200:
        sys.stderr.write(f"not alive: /livez was answered {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
