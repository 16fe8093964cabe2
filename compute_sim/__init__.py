"""The compute contract, simulated: instances, images with snapshots and quotas are rows; nothing is ever copied."""
