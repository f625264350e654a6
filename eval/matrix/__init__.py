"""Suite x encoders x seeds: the plan, what runs it, and what is shown while it runs."""
