"""Suite x encoders x seeds: the plan, the executors that run it, and the progress display."""
