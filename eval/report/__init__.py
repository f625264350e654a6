"""What is drawn from records: table, verdicts, statistics, figures, the page, numbers from papers. No torch."""
