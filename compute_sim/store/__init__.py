"""The SQL of compute. Each function takes an open transaction and never ends it."""
