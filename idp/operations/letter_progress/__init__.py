"""Follows the letters of schools, from the print to the confirmed email."""
