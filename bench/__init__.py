"""`make bench`: load scenarios against the real web server, what a sign-on costs, school files in, letters out."""
