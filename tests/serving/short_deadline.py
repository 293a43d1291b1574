"""Run `idp` with short deadlines for requests, so that tests need not wait for the real ones."""

from idp import cli
from idp.serving import server

READ_SECONDS = 6.0
"""Instead of `idp.serving.server.READ_SECONDS`; the workers inherit it from this process."""
_LINGER_SECONDS = 0.3

if __name__ == "__main__":
    server.READ_SECONDS = READ_SECONDS
    server.LINGER_SECONDS = _LINGER_SECONDS
    cli.main()
