"""`python -m policy_service`."""

from policy_service.main import main

raise SystemExit(main())
