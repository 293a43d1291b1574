"""Compare the records of an import with the database, and decide what happens to each person."""
