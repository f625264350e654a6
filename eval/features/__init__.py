"""Features of clips and of sliding windows, the views that they use, and export to other programs."""
