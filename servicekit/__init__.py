"""What every service of the suite needs, and nothing that only one of them does."""
