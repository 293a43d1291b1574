"""What a colleague typed, kept while a proof or a sign-in comes first, and shown again in the page."""
