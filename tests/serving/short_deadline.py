"""Run `idp` with short deadlines for requests, so that tests need not wait for the real ones."""

from idp import cli
from idp.serving import limits

READ_SECONDS = 6.0
"""Instead of `idp.serving.limits.READ_SECONDS`; the workers inherit it from this process."""
_LINGER_SECONDS = 0.3

if __name__ == "__main__":
    limits.READ_SECONDS = READ_SECONDS
    limits.LINGER_SECONDS = _LINGER_SECONDS
    cli.main()
