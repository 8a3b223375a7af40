"""`python -m devlore_cli` is `devlore`."""

from __future__ import annotations

from devlore_cli.main import main

main()
