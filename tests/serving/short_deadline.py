"""Run `idp` with a short deadline for requests, so that tests need not wait for the real one."""

from idp import cli
from idp.serving import bridge, commands

READ_SECONDS = 6.0
"""Instead of `idp.serving.bridge.READ_SECONDS`; the workers inherit it from this process."""

if __name__ == "__main__":
    bridge.READ_SECONDS = READ_SECONDS
    commands._HEAD_MS = int(1000 * READ_SECONDS)
    cli.main()
