"""Entry point of the `idp` command.

The processes of a pool (`idp.letters.process_pool`) import the main module again. It imports the command only when it
runs, so that they start in a tenth of the time.
"""


def main() -> None:
    """Run the `idp` command."""
    from idp import cli  # noqa: PLC0415 - see above

    cli.main()


if __name__ == "__main__":
    main()
