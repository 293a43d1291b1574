"""`make bench`: bounded load scenarios against the real web server, and the statements that a sign-on costs."""
