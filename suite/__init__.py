"""Runs the four services together, fills them from a file, and shows them at work."""
