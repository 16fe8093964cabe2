"""Policies, the instances that they back up, and the triggers of what is due."""
