"""Use cases, a module each: one transaction, and never a call to another service inside it."""
