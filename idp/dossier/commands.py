"""`idp dossier`."""

from pathlib import Path

import click

from idp.dossier import writing
from idp.services import services
from idp.terminal import plain


@click.command("dossier")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="A new folder, readable by you only.",
)
def dossier(folder: Path) -> None:
    """Write the file that a buyer or a data protection officer asks for, in French, from the running configuration.

    It has the record of processing, drafts of the impact assessment and of the security approval, the accessibility
    statement, tables of conformity, the retention of data and a list of components. What the configuration does not say
    is marked « à compléter ».
    """
    try:
        written = writing.write(services().settings, folder)
    except FileExistsError as there:
        raise click.ClickException(plain(f"{folder} exists already: choose another folder")) from there
    except OSError as fault:
        raise click.ClickException(plain(f"{folder} cannot be written ({fault.strerror})")) from fault
    for name, missing in written:
        click.echo(plain(f"{folder / name}" + (f": {missing} to complete" if missing else "")))
