"""The other services, as this one sees them: domain values in and out, protobuf inside."""
