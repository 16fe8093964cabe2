"""`python -m suite`, the same as `autoimage`."""

from suite.cli import main

raise SystemExit(main())
