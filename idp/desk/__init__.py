"""The school desk: the pages on which schools, operators of ENTs and the académie help families."""
