"""How requests reach the application: `idp serve`, and a gunicorn worker whose threads never wait for a client."""
