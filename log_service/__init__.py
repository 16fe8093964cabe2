"""Log sets, log topics and log entries: where executions are logged. Implements autoimage.log.v1."""
