"""Use cases of the log service, one transaction each."""
