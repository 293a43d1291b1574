"""What an import would change, and its issues, as people read them."""
