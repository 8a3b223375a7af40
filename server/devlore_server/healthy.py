"""A container's health check, `python -m devlore_server.healthy`: ends with 0 when the server here says it can serve.

It imports nothing but the standard library: it runs every few seconds in every container, and the server's own command
takes a second of processor time to be imported.
"""

from __future__ import annotations

import http.client
import os
import sys

_PATIENCE = 4.0


class Unhealthy(Exception):
    """The server does not answer, or says it is not ready."""


def ensure_healthy(port: int) -> None:
    """Raise Unhealthy unless the server on this port of this machine says that it can serve."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"port {port} does not answer: {type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise Unhealthy(said)


def main() -> None:
    """Check the port of `DEVLORE_PORT`, or the usual one."""
    try:
        ensure_healthy(int(os.environ.get("DEVLORE_PORT") or 7700))
    except Unhealthy as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
