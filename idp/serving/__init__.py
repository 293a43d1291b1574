"""`idp serve`: granian receives whole requests, and threads answer them."""
