"""What reads features of a frozen encoder: one file per probe."""
