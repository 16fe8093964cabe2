"""The scheduler service: makes executions of triggers, has images built, tells what became of them."""
