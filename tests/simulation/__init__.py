"""The whole suite in one thread, on simulated time and over a simulated network; one seed decides everything."""
