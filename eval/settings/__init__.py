"""What each protocol declares of its recipes: keys, types, ranges, defaults, sentences. Imports no torch."""
