"""SQL of the log service. Functions take an open transaction and never commit."""
