"""Records that leave the machine that made them: merged folders, verified folders, the card of a model. No torch."""
