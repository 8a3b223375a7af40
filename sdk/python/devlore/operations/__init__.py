"""Every operation of the API once, as a function from typed arguments to a ``Call``; nothing here sends anything."""
