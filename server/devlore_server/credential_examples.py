"""Examples of the types people and programs prove themselves with; ``examples`` shows them with the others."""

from __future__ import annotations

from typing import Any, Final

_ORGANISATION = "0199b7d4-0000-7a90-8b1e-5c0d9e7712f0"
_PERSON = "0199b7d4-0001-7a90-8b1e-5c0d9e7712f0"
_SESSION = "0199c1a4-0000-7d02-a3c4-77e5f0a91d64"
_PASSKEY = "0199c1a4-0001-7d02-a3c4-77e5f0a91d64"
_KEY = "0199c1a4-0002-7d02-a3c4-77e5f0a91d64"
_WHEN = "2026-03-02T09:30:00Z"
_LATER = "2026-04-01T09:30:00Z"
_SECRET = "Xq0l2gk1hVnWcT1mJpQe5b8rYt6uZs3aDf7iLo9wEx0"
_PASSWORD = "violet lamp crosses tuesday"
_HOST = "devlore.example.org"
_AGENT = "devlore/0.1.0"

_ANSWER: Final[dict[str, Any]] = {
    "id": "Hk3Qb0u1",
    "rawId": "Hk3Qb0u1",
    "type": "public-key",
    "clientExtensionResults": {},
    "response": {"clientDataJSON": "eyJ0eXBlIjoi…", "authenticatorData": "SZYN5YgO…", "signature": "MEUCIQD…"},
}
_SESSION_VIEW: Final[dict[str, Any]] = {
    "id": _SESSION,
    "organisation_id": _ORGANISATION,
    "user_agent": _AGENT,
    "network": "192.0.2.0/24",
    "created_at": _WHEN,
    "last_seen_at": _WHEN,
    "expires_at": _LATER,
    "current": True,
}
_PASSKEY_VIEW: Final[dict[str, Any]] = {
    "id": _PASSKEY,
    "name": "Laptop",
    "backed_up": True,
    "created_at": _WHEN,
    "last_used_at": None,
}
_KEY_VIEW: Final[dict[str, Any]] = {
    "id": _KEY,
    "key_id": "5vr72G3eVWwO",
    "person_id": _PERSON,
    "name": "backup",
    "scopes": ["memories:read"],
    "networks": ["192.0.2.0/24"],
    "created_at": _WHEN,
    "expires_at": _LATER,
    "last_used_at": None,
    "revoked_at": None,
}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next": None}


CREDENTIAL_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "SignUp": {"email": "ada@example.org", "name": "Ada King", "password": _PASSWORD, "invitation": _SECRET},
    "SignIn": {"email": "ada@example.org", "password": _PASSWORD},
    "PasskeySignIn": {"credential": _ANSWER},
    "PasskeyOptions": {"public_key": {"challenge": _SECRET, "rpId": _HOST, "userVerification": "required"}},
    "PasskeyDraft": {"name": "Laptop", "credential": _ANSWER},
    "PasskeyView": _PASSKEY_VIEW,
    "Page_PasskeyView_": _page(_PASSKEY_VIEW),
    "PasswordChange": {"old": _PASSWORD, "new": "tangled otter hums at noon"},
    "StepUp": {"password": _PASSWORD},
    "Refresh": {"refresh_token": _SECRET},
    "Tokens": {
        "session_id": _SESSION,
        "organisation_id": _ORGANISATION,
        "token_type": "Bearer",
        "access_token": "eyJhbGciOiJFZDI1NTE5Iiwi…",
        "refresh_token": _SECRET,
        "expires_in": 600,
    },
    "SwitchOrganisation": {"organisation": _ORGANISATION},
    "SessionView": _SESSION_VIEW,
    "Page_SessionView_": _page(_SESSION_VIEW),
    "DeviceGrant": {
        "device_code": _SECRET,
        "user_code": "WDJB-MJHT",
        "verification_uri": f"https://{_HOST}/device",
        "verification_uri_complete": f"https://{_HOST}/device#WDJB-MJHT",
        "expires_in": 600,
        "interval": 5,
    },
    "DeviceCode": {"device_code": _SECRET},
    "DeviceLook": {"user_code": "WDJB-MJHT"},
    "DeviceView": {
        "user_agent": "devlore/0.1.0 (ada-laptop)",
        "network": "203.0.113.0/24",
        "near": True,
        "created_at": "2026-04-01T09:20:00Z",
        "expires_at": _LATER,
        "scopes": ["memories:read", "search:read"],
    },
    "DeviceApproval": {"user_code": "WDJB-MJHT", "approve": True},
    "KeyDraft": {"name": "backup", "scopes": ["memories:read"], "expires_at": _LATER},
    "KeyView": _KEY_VIEW,
    "Page_KeyView_": _page(_KEY_VIEW),
    "KeyCreated": _KEY_VIEW | {"key": "dvl_5vr72G3eVWwO_fEBRr5PtAltv3fv6E8c6yScEKNUkbGz0UQcreKAwaL21uxRJt"},
    "KeySet": {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "GyYNEIw2R_dJoxLN-nUolvGS-kKDbd7nZcNI4Co8X4c",
                "kid": "0f6a1c2e9b7d4a5583e1c0d2",
                "alg": "Ed25519",
                "use": "sig",
            }
        ]
    },
}
"""By the name of the type's schema."""
