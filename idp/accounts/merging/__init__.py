"""Two accounts of one person: when they are surely hers, what moves when they are merged, and what goes back."""
