"""`idp serve`, and a gunicorn worker that buffers requests, so that no thread waits for a slow client."""
