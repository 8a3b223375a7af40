"""The gateway: who is asking, what may come in, and to which service it goes.

Owns ``gateway.idempotency``. Emits no events. Reacts to ``memory.purged``: erases the answers stored about the memory.
``guards.guard`` puts it around an application: request ids, security headers, metrics, loopback only, body limits, the
caller, rate limits, idempotency keys; ``proxy`` sends requests on when services run in other processes.
"""
