"""Fleet files: what a suite is to hold, in the words of a person."""
