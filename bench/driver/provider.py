"""A provider under load: where it listens, its registered client, its sign-in form, and the people who sign in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from bench.driver.transport import HOST


@dataclass(frozen=True, slots=True)
class Person:
    """A person who can sign in; `cookies` are those of a browser with a session, or empty."""

    username: str
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """A confidential client: `client_secret_basic`, PKCE S256, RS256 ID tokens, refresh tokens that are rotated.

    Attributes:
        parameters: further parameters of each authorization request.
    """

    client_id: str
    secret: str
    redirect_uri: str
    scope: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provider:
    """A provider that the driver can use.

    Attributes:
        name: the name in the tables.
        port: its port on loopback; the issuer is `http://127.0.0.1:PORT`.
        username_field: name of the field of the sign-in form for the username.
        password_field: the same for the password, on that page or on a following one.
        password: the password of all people.
        people: people who sign in. Those without cookies are signed in before a scenario that needs sessions.
        claims: the claims that UserInfo must have.
        at_hash: whether an ID token without `at_hash` is an error.
        left_out: names of the scenarios that it cannot run.
    """

    name: str
    port: int
    client: Client
    username_field: str
    password_field: str
    password: str
    people: Sequence[Person]
    claims: frozenset[str] = frozenset({"sub"})
    at_hash: bool = False
    left_out: frozenset[str] = frozenset()

    @property
    def issuer(self) -> str:
        """The issuer identifier."""
        return f"http://{HOST}:{self.port}"

    def one_after_the_other(self) -> Iterator[Person]:
        """Yield people for ever, each again after all others."""
        return cycle(self.people)

    def filled_in(self, person: Person) -> dict[str, str]:
        """Return the fields that a person fills in."""
        return {self.username_field: person.username, self.password_field: self.password}
