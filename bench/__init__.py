"""`make bench`: load scenarios against the real web server, the cost of a sign-on, imports of school files, letters."""
