"""`/journal`: who did what, whom it concerned, when, and why."""
