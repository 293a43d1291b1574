"""`/activation`: figures of the activation, as tables, pictures and files."""
