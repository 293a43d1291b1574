"""The language of a request: how it is chosen, and the menu by which a person changes it."""
