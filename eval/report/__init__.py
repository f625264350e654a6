"""What is drawn from records: table, verdicts, statistics, figures, the page, numbers from papers. No torch."""

# Marks behind a number: a few videos were not scored; too many were not, so the number is in no mean.
INCOMPLETE, LEFT_OUT = '*', '!'
