"""What is drawn from records: table, verdicts, statistics, figures, the page, numbers from papers. No torch."""

# Marks behind a number: a few videos were not scored; too many were not, so the number is in no mean.
INCOMPLETE, LEFT_OUT = '*', '!'
# Start of a note on a published number that must not be compared with ours.
NOT_COMPARABLE = 'not comparable: '
