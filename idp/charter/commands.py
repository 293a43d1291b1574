"""`idp charter publish` and `idp charter list`."""

import json
from pathlib import Path

import click
from sqlalchemy import select

from idp.charter import service
from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.db import db


@click.group()
def charter() -> None:
    """Charters of the ENTs: what parents accept before they enter."""


@charter.command()
@click.argument("client_id")
@click.option("--version", required=True, help="The version's name, such as 2 or 2026-09.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def publish(client_id: str, version: str, file: Path, *, as_json: bool) -> None:
    """Publish FILE (Markdown, UTF-8) as the current charter of CLIENT_ID; everybody has to accept it again."""
    try:
        published = service.publish(client_id, version, _read(file))
    except ValueError as fault:
        raise click.ClickException(str(fault)) from fault
    if as_json:
        shown = {"client_id": client_id, "version": version, "published_at": published.published_at.isoformat()}
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    click.echo(f"version {published.version} is current since {published.published_at.isoformat(timespec='seconds')}")


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            text = opened.read(service.LONGEST_TEXT + 1)
    except UnicodeDecodeError as fault:
        raise ValueError(f"{file} is not UTF-8 text") from fault
    except OSError as fault:
        raise ValueError(f"{file} cannot be read ({fault.strerror})") from fault
    if "\0" in text:
        raise ValueError(f"{file} is not text")
    return text


@charter.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def list_versions(*, as_json: bool) -> None:
    """List all versions of all ENTs, the current ones marked."""
    rows = db.session.execute(
        select(CharterVersion, Client)
        .join(Client, Client.id == CharterVersion.client_id)
        .order_by(Client.name, CharterVersion.published_at)
    ).all()
    versions = [
        {
            "client_id": client.client_id,
            "client": client.name,
            "version": row.version,
            "published_at": row.published_at.isoformat(),
            "current": client.charter_version_id == row.id,
        }
        for row, client in rows
    ]
    if as_json:
        click.echo(json.dumps(versions, ensure_ascii=False, indent=2))
        return
    for item in versions:
        mark = "*" if item["current"] else " "
        click.echo(f"{mark} {item['client_id']}  {item['version']}  {item['published_at']}  {item['client']}")
