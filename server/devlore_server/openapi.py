"""The API's description (OpenAPI 3.1): every public operation of every service, whichever process answers it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from fastapi import APIRouter, FastAPI

from devlore import types
from devlore_server import __version__
from devlore_server.examples import EXAMPLES
from devlore_server.gateway import instance
from devlore_server.gateway.idempotency import READS
from devlore_server.identity.api import directory_router
from devlore_server.identity.api.audit import router as audit_router
from devlore_server.identity.api.devices import router as device_router
from devlore_server.identity.api.keys import router as key_router
from devlore_server.identity.api.proofs import router as proof_router
from devlore_server.identity.api.sessions import router as session_router
from devlore_server.integration import api as integration_api
from devlore_server.kit.http import install
from devlore_server.kit.paging import Paging
from devlore_server.kit.telemetry import health, metrics_route
from devlore_server.memory import api as memory_api
from devlore_server.search import api as search_api

DESCRIPTION = """
Devlore keeps what developers learn and finds it again by meaning.

* Times are RFC 3339 with an offset; ids are UUIDs.
* A failure is `application/problem+json` (RFC 9457); its `code` is stable, its `type` leads to the documentation.
* Lists answer `{items, next}`; send `next` back as `cursor` until it is null.
* A memory's `ETag` is its version; PATCH needs it as `If-Match`.
* `Idempotency-Key` on a POST makes it safe to send again.
* `wait=indexed` on a change answers when search knows it; `Devlore-Indexed` says whether it does.
"""
PARAMETERS = {
    "kind": "Only memories of this kind; may be repeated.",
    "project": "Only this project; may be repeated.",
    "tag": "Only memories with this tag; may be repeated.",
    "status": "Only memories that hold, are superseded, or were wrong; may be repeated.",
    "privacy": "Only memories seen by this circle; may be repeated.",
    "trust": "Only memories whose words come from there; may be repeated.",
    "external_id": "Only the memory of this item of its source.",
    "pinned": "Only pinned memories, or only the others.",
    "limit": "Most items on the page.",
    "cursor": "`next` of the page before.",
    "q": 'Words, `"a phrase"`, `-without`, and filters such as `kind:decision`, `project:api`, `after:2026-01-31`.',
    "author": "Only memories by this author; `@me` for the caller; may be repeated.",
    "source": "Only memories from this connector; may be repeated.",
    "after": "Only what happened at or after this moment.",
    "before": "Only what happened before this moment.",
    "as_of": "What held at this moment.",
    "facets": "Count the values of this field among all hits; may be repeated.",
    "explain": "Show each leg's rank and score, and the factors, of every hit.",
    "old": "The older version; the one before the newer when left out.",
    "new": "The newer version; the current one when left out.",
}
"""What a parameter means wherever it appears and its operation says nothing more particular."""
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!#-~][!-~]{0,254}$"},
    "description": "Any word of your own, such as a UUID: sent again with the same key, the request is not run again.",
}
"""The gateway reads it, so no route of a service speaks of it."""
TAGS = [
    {"name": "memories", "description": "What is remembered, its versions, links and lifecycle."},
    {"name": "search", "description": "Finding it again, and the indexes behind that."},
    {"name": "connections", "description": "Sources of memories: connections and their syncs."},
    {"name": "sessions", "description": "Signing in, by password, passkey or device, and out."},
    {"name": "identity", "description": "Oneself: profile, password, passkeys."},
    {"name": "organisations", "description": "Organisations, their members and invitations."},
    {"name": "teams", "description": "Teams and who is in them."},
    {"name": "people", "description": "The people and service accounts of an organisation."},
    {"name": "keys", "description": "API keys."},
    {"name": "policies", "description": "What an organisation decides about what is written."},
    {"name": "audit", "description": "Who did what, and what was refused."},
    {"name": "operations", "description": "Whether it runs, and how."},
]


def bare(routers: Iterable[APIRouter]) -> FastAPI:
    """An application of `routers` whose failures are problems; nothing stands around it yet."""
    app = FastAPI(
        title="Devlore",
        version=__version__,
        summary="The developer memory layer.",
        description=DESCRIPTION.strip(),
        openapi_tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        # Our own names no path and no query; and whether this one is wanted is found out anew at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    install(app)
    for router in routers:
        app.include_router(router)
    return app


def skeleton() -> FastAPI:
    """Every public route of every service, without services behind them: for looking at their shape."""
    nothing = cast(Any, None)
    paging = Paging(b"only the shape is looked at")
    app = bare(
        [
            memory_api.router(nothing, nothing, nothing, nothing, nothing, paging, nothing),
            search_api.router(nothing),
            integration_api.router(nothing, paging),
            directory_router(nothing, nothing, nothing, nothing, nothing, nothing, paging),
            session_router(nothing, nothing, nothing, nothing, paging),
            device_router(nothing),
            proof_router(nothing, nothing, nothing, nothing),
            key_router(nothing, paging),
            audit_router(nothing, paging),
            instance.router(__version__, "individual", []),
            metrics_route(),
        ]
    )
    health(app, {})
    return app


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    found = skeleton().openapi()
    schemas = found["components"]["schemas"]
    # Types that are only spoken of by name: lines of an export, items of a bulk request.
    while missing := set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found))) - schemas.keys():
        for name in sorted(missing):
            schema = getattr(types, name).model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update({**schema.pop("$defs", {}), name: schema} | schemas)
    for operation in (one for path in found["paths"].values() for one in path.values()):
        for parameter in operation.get("parameters", []):
            if parameter["name"] in PARAMETERS:
                parameter.setdefault("description", PARAMETERS[parameter["name"]])
    for operation in (one["post"] for path, one in found["paths"].items() if "post" in one and path not in READS):
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    found["components"]["schemas"] = dict(sorted(schemas.items()))
    return found
