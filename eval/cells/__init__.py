"""What a cell of the matrix is: its identity, encoder card, claim and machine."""
