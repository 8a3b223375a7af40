"""HTTP without domain words: routers that read strict JSON, problems (RFC 9457), who is asking, and guards."""

from devlore_server.kit.http.answers import encoded
from devlore_server.kit.http.callers import (
    Network,
    Public,
    RequiredScope,
    Who,
    admit,
    admitted,
    caller_of,
    check_fresh,
    public,
    requires,
    who,
)
from devlore_server.kit.http.guards import BodyLimit, CatchAll, RequestId, SecurityHeaders, request_id_of
from devlore_server.kit.http.rendering import install, pointed, problem_of, problem_response, problems
from devlore_server.kit.http.routes import JsonRoute, Router
from devlore_server.kit.http.signatures import SignedCallers, target_of

__all__ = [
    "BodyLimit",
    "CatchAll",
    "JsonRoute",
    "Network",
    "Public",
    "RequestId",
    "RequiredScope",
    "Router",
    "SecurityHeaders",
    "SignedCallers",
    "Who",
    "admit",
    "admitted",
    "caller_of",
    "check_fresh",
    "encoded",
    "install",
    "pointed",
    "problem_of",
    "problem_response",
    "problems",
    "public",
    "request_id_of",
    "requires",
    "target_of",
    "who",
]
