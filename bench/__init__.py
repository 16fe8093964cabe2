"""Measurements of the real suite, for people; tests prove what is right, these tell how fast it is."""
