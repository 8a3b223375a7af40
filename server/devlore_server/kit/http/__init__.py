"""HTTP without domain words: routers that read strict JSON, problems (RFC 9457), who is asking, and guards."""

from devlore_server.kit.http.answers import encoded
from devlore_server.kit.http.callers import RequiredScope, SignedCallers, Who, admit, admitted, requires, who
from devlore_server.kit.http.guards import BodyLimit, CatchAll, RequestId, SecurityHeaders, request_id_of
from devlore_server.kit.http.rendering import install, pointed, problem_of, problem_response, problems
from devlore_server.kit.http.routes import JsonRoute, Router

__all__ = [
    "BodyLimit",
    "CatchAll",
    "JsonRoute",
    "RequestId",
    "RequiredScope",
    "Router",
    "SecurityHeaders",
    "SignedCallers",
    "Who",
    "admit",
    "admitted",
    "encoded",
    "install",
    "pointed",
    "problem_of",
    "problem_response",
    "problems",
    "request_id_of",
    "requires",
    "who",
]
