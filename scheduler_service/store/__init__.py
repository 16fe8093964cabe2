"""SQL, nothing else: every function takes an open transaction and never commits."""
