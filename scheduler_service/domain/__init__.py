"""Values and pure rules of executions and image tasks. Knows neither gRPC nor SQL nor the time."""
