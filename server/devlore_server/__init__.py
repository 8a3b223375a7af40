"""The Devlore server: a gateway and the services behind it, composed by `app.py` into one process or many."""

__version__ = "0.1.0"
