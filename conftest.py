"""What holds for the tests of every package."""

from __future__ import annotations

import hypothesis

# An example that takes long on a busy machine is no wrong one.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
