"""Features of videos: clips, sliding windows, the views they are cut from, and export to other programs."""
