"""Use cases of one transaction each. None makes a call to another service."""
