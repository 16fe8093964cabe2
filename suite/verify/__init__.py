"""`autoimage verify`: what should exist by the history of the schedules, against what does."""
