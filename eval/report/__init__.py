"""What is drawn from records: table, verdicts, statistics, figures, published numbers. No torch."""
