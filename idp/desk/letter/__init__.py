"""`/comptes/<account>/courrier`: a letter for one person, at the counter."""
