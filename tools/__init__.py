"""What make runs: code generation, checks, locks. Not part of the wheel."""
