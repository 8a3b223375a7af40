"""Signing in devices over HTTP (RFC 8628, in JSON)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Response

from devlore.problems import DeviceExpired, DevicePending, DeviceRefused, NotAllowed, NotFound, RateLimited, SlowDown
from devlore.types import DeviceApproval, DeviceCode, DeviceGrant, DeviceLook, DeviceView, Tokens
from devlore_server.identity.api.origins import From, handed_out
from devlore_server.identity.devices import Devices
from devlore_server.kit.http import Router, Who, encoded, problems, public, requires

_Approval = Annotated[
    DeviceApproval, Body(openapi_examples={"approve": {"value": {"user_code": "WDJB-MJHT", "approve": True}}})
]


class _Devices:
    """The handlers: each makes one service call."""

    def __init__(self, service: Devices) -> None:
        self._service = service

    async def start(self, origin: From) -> Response:
        return encoded(await self._service.start(origin))

    async def poll(self, asked: DeviceCode, origin: From) -> Response:
        return handed_out(await self._service.poll(asked.device_code, origin))

    async def look(self, principal: Who, asked: DeviceLook) -> Response:
        return encoded(await self._service.look(principal, asked.user_code))

    async def settle(self, principal: Who, approval: _Approval) -> Response:
        await self._service.settle(principal, approval)
        return Response(status_code=204)


def router(service: Devices) -> Router:
    """``/v1/sessions/device`` and below."""
    handlers = _Devices(service)
    routes = Router(tags=["sessions"])
    routes.post("/v1/sessions/device", **_START)(handlers.start)
    routes.post("/v1/sessions/device/token", **_POLL)(handlers.poll)
    routes.post("/v1/sessions/device/look", **_LOOK)(handlers.look)
    routes.post("/v1/sessions/device/approve", **_SETTLE)(handlers.settle)
    return routes


_START: dict[str, Any] = {
    "operation_id": "begin_device_sign_in",
    "summary": "Begin to sign in a device",
    "description": (
        "For a device without a browser: show `user_code` and `verification_uri`, and ask for the tokens every"
        " `interval` seconds until somebody has approved it there."
    ),
    "response_model": DeviceGrant,
    "dependencies": [public()],
}
_POLL: dict[str, Any] = {
    "operation_id": "poll_device_sign_in",
    "summary": "Ask for a device's tokens",
    "description": "Until it is approved a problem: `error` is RFC 8628's word, `interval` the seconds to wait.",
    "response_model": Tokens,
    "responses": problems(DevicePending, SlowDown, DeviceRefused, DeviceExpired),
    "dependencies": [public()],
}
_LOOK: dict[str, Any] = {
    "operation_id": "look_at_device_sign_in",
    "summary": "Look at a device that waits",
    "description": (
        "What it calls itself, from which network and when it asked, and what it could do once approved: show it to"
        " whoever approves, who may have been sent a stranger's code. An API key cannot."
    ),
    "response_model": DeviceView,
    "responses": problems(NotFound, NotAllowed, RateLimited),
    "dependencies": [requires("identity:write")],
}
_SETTLE: dict[str, Any] = {
    "operation_id": "settle_device_sign_in",
    "summary": "Approve or refuse a device",
    "description": (
        "It will work as the caller, in this organisation. Approve only what you began yourself; an API key cannot."
        " At most ten wrong codes in ten minutes."
    ),
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed, RateLimited),
    "dependencies": [requires("identity:write")],
}
