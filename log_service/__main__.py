"""`python -m log_service`."""

from log_service.main import main

raise SystemExit(main())
