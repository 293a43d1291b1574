"""The arithmetic of the results, the goals, and the tables."""
