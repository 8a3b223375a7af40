"""The pages people sign in with: static files that use the API; no template, and nothing inline (CSP)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import Response

from devlore_server.kit.http import Router, public

FOLDER: Final = Path(__file__).parents[1] / "pages"
PAGES: Final = {"/signin": "signin", "/invitation": "invitation", "/device": "device", "/account": "account"}
_FILES: Final = {"/pages/pages.js": "text/javascript; charset=utf-8", "/pages/pages.css": "text/css; charset=utf-8"}
_HEADERS: Final = {
    # Scripts, styles and calls of this server only; no frame around it, no form to anywhere else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    "Cache-Control": "no-cache",
}


def router() -> Router:
    """``/signin``, ``/invitation``, ``/device``, ``/account``, and the two files they share."""
    routes = Router(include_in_schema=False, dependencies=[public()])
    for path, name in PAGES.items():
        _serve(routes, path, f"{name}.html", "text/html; charset=utf-8")
    for path, media_type in _FILES.items():
        _serve(routes, path, path.rpartition("/")[2], media_type)
    return routes


def _serve(routes: Router, path: str, file: str, media_type: str) -> None:
    body = (FOLDER / file).read_bytes()

    @routes.get(path, name=file)
    async def serve() -> Response:
        return Response(body, media_type=media_type, headers=_HEADERS)
