"""Values and pure rules: time and identifiers are arguments."""
