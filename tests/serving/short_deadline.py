"""Run `idp` with a short deadline for requests, so that tests need not wait for the real one."""

from idp import cli
from idp.serving import worker

READ_SECONDS = 6.0
"""Instead of `idp.serving.worker.READ_SECONDS`, which the workers inherit from this process."""

if __name__ == "__main__":
    worker.READ_SECONDS = READ_SECONDS
    cli.main()
