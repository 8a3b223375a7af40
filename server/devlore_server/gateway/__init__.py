"""The gateway: who is asking, what may come in, and to which service it goes.

Owns ``gateway.idempotency``. Emits no events. Reacts to ``memory.purged`` and ``identity.organisation_erased``: erases
the answers stored about the memory, or in the organisation. ``guards.guard`` puts it around an application: request
ids, security headers, metrics, deadlines, our own addresses only, body limits, the caller, rate limits, limits of
guessing, idempotency keys. Where people sign in, ``authenticate`` turns a token, an API key or a browser's cookie into
a Principal; without, ``individual`` says who it always is. ``proxy`` sends requests on when services run elsewhere.
"""
