"""Run `idp` with a short deadline for requests, so that tests need not wait for the real one."""

from idp import cli
from idp.serving import limits

READ_SECONDS = 6.0
"""Instead of `idp.serving.limits.READ_SECONDS`; the workers inherit it from this process."""

if __name__ == "__main__":
    limits.READ_SECONDS = READ_SECONDS
    cli.main()
