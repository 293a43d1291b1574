"""`idp account claims`: the standard claims that no school file has, for ENTs that ask for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from idp.cli import account_view
from idp.cli.refusals import as_click_error
from idp.families import acts
from idp.oidc.claims.standard import ClaimError
from idp.terminal import AS_JSON, dumped, plain


def _pairs(_ctx: click.Context, _option: click.Parameter, typed: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE`, once for each name."""
    pairs: dict[str, str] = {}
    for pair in typed:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in pairs:
            raise click.BadParameter("must be NAME=VALUE, given once for a name")
        pairs[name] = value
    return pairs


@click.command()
@click.argument("username")
@click.option("--school", "uai", metavar="UAI", help="Only an account with a child in this school.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="Set a claim.")
@click.option("--unset", "removed", multiple=True, metavar="NAME", help="Remove a claim.")
@AS_JSON
def claims(username: str, uai: str | None, changes: dict[str, str], removed: tuple[str, ...], *, as_json: bool) -> None:
    """Show or change the standard claims of an account that no school file has.

    Names and values are those of OpenID Connect Core 5.1: nickname, birthdate, zoneinfo, phone_number…; parts of the
    address are written address.locality and so on, and replace those of the school file. ENTs receive only the claims
    that they are registered for.
    """
    if twice := changes.keys() & set(removed):
        raise click.UsageError(f"given to --set and to --unset: {plain(', '.join(sorted(twice)))}")
    with as_click_error():
        school = account_view.get_school(uai)
        account = account_view.get_account(username, school)
        try:
            held = acts.change_claims(account.id, changes, removed, school)
        except ClaimError as refused:
            raise click.ClickException(plain(refused)) from refused
    if as_json:
        click.echo(dumped(held))
        return
    for name, value in _flat(held):
        click.echo(f"{name}: {plain(value)}")


def _flat(held: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield claims under the names that `--set` takes."""
    for name, value in held.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{member}", text) for member, text in value.items())
        else:
            yield name, str(value).lower() if isinstance(value, bool) else value
