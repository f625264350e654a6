"""What a cell of the matrix is: identity, encoder card, claim, machine, and what it leaves for cells that need it."""
