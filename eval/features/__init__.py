"""What an encoder says of videos: clips, dense windows, views, and files for others."""
