"""Values and pure rules of the log service."""
