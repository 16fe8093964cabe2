"""Between the wire and the commands, one servicer for each service of the contract."""
