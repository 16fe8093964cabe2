"""Generated from protos/ by `make proto`; edits are lost."""
