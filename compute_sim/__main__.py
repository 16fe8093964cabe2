"""python -m compute_sim"""

from compute_sim.main import main

raise SystemExit(main())
