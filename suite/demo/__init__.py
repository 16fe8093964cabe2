"""Four virtual days of the real suite, checked at the end against what the demo worked out by itself."""
