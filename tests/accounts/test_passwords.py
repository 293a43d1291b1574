"""Password input and password hashes. Ids are those of docs/security.md."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from hypothesis import example, given, settings as hypothesis_settings, strategies as st

from idp import config, paths
from idp.accounts.passwords import hasher as passwords
from idp.accounts.passwords.hasher import (
    Hasher,
    HasherBusyError,
    Lane,
    PasswordTooLongError,
    fold_provisional,
    fold_username,
    normalise,
)
from tests import cheap_hashes
from tests.rows import each_row

RIGHT = "tortue velours cascade ancre"


def make_hasher(concurrency: int = 2, wait: float = 10) -> Hasher:
    with cheap_hashes.real(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("idp.accounts.passwords.hasher.WAIT_SECONDS", wait)
        settings = config.load(env="development", issuer="http://127.0.0.1:8000", hash_concurrency=concurrency)
        return Hasher(settings)


@pytest.fixture(scope="module")
def hasher() -> Hasher:
    return make_hasher()


@pytest.fixture(scope="module")
def stored(hasher: Hasher) -> str:
    return hasher.hash(RIGHT, "sign_in")


@contextmanager
def occupied(hasher: Hasher, lane: Lane) -> Iterator[None]:
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert done.wait(60)

    keeper = threading.Thread(target=hasher._queues[lane].run, args=(work,))
    keeper.start()
    assert begun.wait(60)
    try:
        yield
    finally:
        done.set()
        keeper.join()


class Watched(PasswordHasher):
    """Records the parameters of the hashes and the maximum number at the same time."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=19_456, parallelism=1)
        self.costs: list[Parameters] = []
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        with self._lock:
            self.costs.append(extract_parameters(str(hash)))
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            return super().verify(hash, password)
        finally:
            with self._lock:
                self.inside -= 1


@pytest.fixture
def watched(hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched_hasher = Watched()
    monkeypatch.setattr(hasher, "_argon2", watched_hasher)
    return watched_hasher


@pytest.mark.row("I-07")
@each_row(
    "typed",
    [
        "n.leroy4821",
        "N.LEROY4821",
        "  n.leroy4821\t",
        "n. leroy 4821",
        "n.leroy-4821",
        "n.leroy\u20114821",
        "n.leroy \u2013 4821",
        "n.leroy\u22124821",
        "n.leroy\u00ad4821",
        "\u200bn.leroy4821\ufeff",
        "n.leroy4821\0",
        "ｎ．ｌｅｒｏｙ４８２１",
        "𝐧.𝐥𝐞𝐫𝐨𝐲𝟒𝟖𝟐𝟏",
        "n.lérôy4821",
    ],
)
def test_spellings_of_an_identifier_fold_to_the_same_value(typed: str) -> None:
    assert fold_username(typed) == "n.leroy4821"


@pytest.mark.row("I-07")
def test_a_turkish_keyboard_writes_the_same_identifier() -> None:
    assert fold_username("İ.YILMAZ1204") == fold_username("ı.yılmaz1204") == "i.yilmaz1204"


@pytest.mark.row("I-08")
@each_row(
    "typed",
    ["", "   ", "n.leroy@exemple.fr", "n.leroy＠exemple.fr", "n_leroy", "نور", "n.leroy'--", "a" * 65, "\ufdfa" * 64],
)
def test_invalid_identifier_folds_to_none(typed: str) -> None:
    assert fold_username(typed) is None


@pytest.mark.row("I-07")
@hypothesis_settings(deadline=None, database=None)
@given(st.text(st.characters()))
def test_folding_is_stable_and_gives_the_alphabet_of_letters_only(typed: str) -> None:
    folded = fold_username(typed)
    if folded is not None:
        assert fold_username(folded) == folded
        assert set(folded) <= set("abcdefghijklmnopqrstuvwxyz0123456789.")
        assert 0 < len(folded) <= 64


@pytest.mark.row("P-03")
@each_row(
    "typed",
    [
        "7KQ0-M1XA-90VE",
        "7kq0-m1xa-90ve",
        "7KQO MLXA 9OVE",
        "7kqo–mixa—90ve ",
        "７ＫＱ０ＭｌＸＡ９０ＶＥ",
        "7KQ0\u00a0M1XA\u202f90VE\0",
    ],
)
def test_a_letters_secret_is_read_however_it_is_typed(typed: str) -> None:
    assert fold_provisional(typed) == "7KQ0M1XA90VE"
    assert passwords.looks_provisional(fold_provisional(typed))


@pytest.mark.row("P-03")
@each_row("typed", ["", "7KQ0-M1XA-90V", "7KQ0-M1XA-90VEE", "7KQU-M1XA-90VE", "7KQ0.M1XA.90VE", "é" * 12])
def test_other_texts_are_not_recognised_as_a_letters_secret(typed: str) -> None:
    assert not passwords.looks_provisional(fold_provisional(typed))


@pytest.mark.row("I-15")
def test_composed_and_decomposed_accents_are_the_same_password(hasher: Hasher) -> None:
    composed, decomposed = "caf\u00e9 cr\u00e8me \u00e0 nous", "cafe\u0301 cre\u0300me a\u0300 nous"
    assert normalise(composed) == normalise(decomposed)
    assert hasher.verify(hasher.hash(composed, "sign_in"), decomposed, "sign_in")


@pytest.mark.row("I-15")
@pytest.mark.parametrize("other", [RIGHT + " ", " " + RIGHT, RIGHT.upper(), RIGHT + "\0", RIGHT[:-1], ""])
def test_password_is_not_trimmed_or_truncated(hasher: Hasher, stored: str, other: str) -> None:
    assert hasher.verify(stored, RIGHT, "sign_in")
    assert not hasher.verify(stored, other, "sign_in")


@pytest.mark.row("I-15")
@pytest.mark.parametrize("password", ["", " " * 12, "avant\0après", "🦊" * 128, "\ud800 seul", "a" * 128])
def test_unusual_passwords_are_accepted(hasher: Hasher, password: str) -> None:
    password_hash = hasher.hash(password, "activation")
    assert hasher.verify(password_hash, password, "sign_in")
    assert not hasher.verify(password_hash, password[:-1] + "x", "sign_in")


@pytest.mark.row("I-15")
@pytest.mark.parametrize("password", ["a" * 129, "a" * 1_000_000, "a" + "\u0300\u0323" * 200_000, "\ufdfa" * 400_000])
def test_an_over_long_password_is_refused_at_once(
    hasher: Hasher, stored: str, watched: Watched, normalised: list[int], password: str
) -> None:
    for refused in (normalise, lambda text: hasher.hash(text, "activation")):
        with pytest.raises(PasswordTooLongError):
            refused(password)
    assert not hasher.verify(stored, password, "sign_in")
    assert not hasher.verify(None, password, "sign_in")
    assert fold_provisional(password) == password
    assert fold_username(password) is None
    assert (normalised, watched.costs) == ([], []), "nothing looked at it, nothing was hashed"


def test_the_hash_is_argon2id_with_the_parameters_of_owasp(hasher: Hasher, stored: str) -> None:
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert extract_parameters(stored).salt_len == 16
    assert extract_parameters(stored).hash_len == 32
    assert len(stored) <= 200, "the column"
    assert hasher.hash(RIGHT, "sign_in") != stored
    assert not hasher.needs_rehash(stored)


@pytest.mark.row("I-16")
def test_a_hash_of_other_parameters_verifies_and_needs_a_rehash(hasher: Hasher) -> None:
    former = PasswordHasher(time_cost=3, memory_cost=12_288, parallelism=1).hash(RIGHT)
    assert hasher.verify(former, RIGHT, "sign_in")
    assert hasher.needs_rehash(former)


@pytest.mark.row("I-02")
def test_an_unknown_account_costs_the_same_hash(hasher: Hasher, stored: str, watched: Watched) -> None:
    assert not hasher.verify(stored, "faux", "sign_in")
    assert not hasher.verify(None, "faux", "sign_in")
    assert not hasher.verify(None, "", "sign_in")
    assert watched.costs == [extract_parameters(stored)] * 3


def test_account_without_password_refuses_every_password() -> None:
    hasher = make_hasher()
    hasher._dummy = hasher._argon2.hash(RIGHT)
    assert not hasher.verify(None, RIGHT, "sign_in")
    assert not hasher.verify("damaged", RIGHT, "sign_in")


@hypothesis_settings(deadline=None, max_examples=30, database=None)
@example("$argon2id$v=19$m=19456,t=2,p=1$c2VsZWxlbWVudA$")
@example("$argon2id$v=19$m=19456,t=2,p=1$c2Vs$dGFn")
@example("$argon2id$v=19$m=4294967295,t=2,p=1$c2VsZWxlbWVudA$dGFndGFndGFndGFn")
@example("$argon2id$v=19$m=19456,t=4294967295,p=1$c2VsZWxlbWVudA$dGFndGFndGFndGFn")
@example("$argon2id$v=19$m=19456,t=2,p=16777215$c2VsZWxlbWVudA$dGFndGFndGFndGFn")
@example("$argon2id$v=19$m=x,t=2,p=1$c2VsZWxlbWVudA$dGFndGFndGFndGFn")
@example("$argon2id$v=99$m=19456,t=2,p=1$c2VsZWxlbWVudA$dGFndGFndGFndGFn")
@example("$argon2id$v=19$m=-1,t=2,p=1$c2VsZWxlbWVudA$dGFndGFndGFndGFn")
@example("$argon2id$v=19$m=19456,t=2,p=1$é$\ud800")
@example("$2b$12$abcdefghijklmnopqrstuuEYl8FZk0rSx4Jq3TfsyV3Oqzc2l6dIa")
@example("pbkdf2_sha256$600000$sel$YWJj")
@given(st.text(st.characters()) | st.text("$argon2id=v19mtp,0123", max_size=60))
def test_damaged_hash_verifies_nothing_and_raises_no_error(hasher: Hasher, stored: str) -> None:
    assert not hasher.verify(stored, RIGHT, "sign_in")
    assert hasher.needs_rehash(stored) in {True, False}


def test_a_damaged_value_costs_a_hash_like_any_other(hasher: Hasher, stored: str, watched: Watched) -> None:
    assert not hasher.verify("damaged", "faux", "sign_in")
    assert watched.costs == [extract_parameters(stored)]


@pytest.mark.row("W-01")
def test_concurrent_hashes_are_limited_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, watched = make_hasher(concurrency=2), Watched()
    monkeypatch.setattr(hasher, "_argon2", watched)
    crowd = [threading.Thread(target=hasher.verify, args=(None, "faux", "sign_in")) for _ in range(12)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert watched.most == 2


@pytest.mark.row("W-01")
@pytest.mark.parametrize(("full", "free"), [("sign_in", "activation"), ("activation", "sign_in")])
def test_full_lane_refuses_quickly_and_the_other_lane_stays_open(full: Lane, free: Lane, stored: str) -> None:
    hasher = make_hasher(concurrency=1, wait=0.1)
    with occupied(hasher, full):
        for compared in (stored, None):
            with pytest.raises(HasherBusyError) as caught:  # the lane is occupied: no waiting
                hasher.verify(compared, RIGHT, full)
            assert caught.value.retry_after == 5
        with pytest.raises(HasherBusyError):
            hasher.hash(RIGHT, full)
        assert hasher.verify(stored, RIGHT, free)
    assert hasher.verify(stored, RIGHT, full), "a refusal keeps no turn"


@pytest.mark.row("W-01")
def test_an_error_inside_a_turn_gives_the_turn_back() -> None:
    hasher = make_hasher(concurrency=1, wait=0.1)
    for _ in range(3):
        assert not hasher.verify("$argon2id$v=19$m=19456,t=2,p=1$c2Vs$dGFn", RIGHT, "sign_in")
    assert hasher.verify(hasher.hash(RIGHT, "sign_in"), RIGHT, "sign_in")


@pytest.mark.row("W-01")
def test_memory_of_concurrent_hashes_is_bounded() -> None:
    program = """
import resource, threading
from idp import config
from idp.accounts.passwords import hasher as module
module.WAIT_SECONDS = 10
hasher = module.Hasher(config.load(env="development", issuer="http://127.0.0.1:8000", hash_concurrency=2))
def work(): hasher.verify(None, "faux", "sign_in")
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
crowd = [threading.Thread(target=work) for _ in range(24)]
for one in crowd: one.start()
for one in crowd: one.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=paths.CHECKOUT, timeout=300
    )
    assert int(done.stdout) < 2 * 19_456 + 16_384, "KiB that 24 threads added; without the bound some 200,000"


def test_a_worker_forked_after_a_hash_hashes_too() -> None:
    program = """
import os
from idp import config
from idp.accounts.passwords.hasher import Hasher
hasher = Hasher(config.load(env="development", issuer="http://127.0.0.1:8000", hash_concurrency=1))
kept = hasher.hash("tortue velours cascade ancre", "sign_in")
if os.fork() == 0:
    os._exit(0 if hasher.verify(kept, "tortue velours cascade ancre", "sign_in") else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=paths.CHECKOUT, timeout=120, check=False)
    assert done.returncode == 0


@pytest.mark.row("I-01")
@pytest.mark.parametrize("grows", ["ß" * 128, "\ufdfa" * 128])
def test_folded_text_stays_short_enough_to_be_hashed(grows: str) -> None:
    assert len(fold_provisional(grows)) <= passwords.MAX_PASSWORD_LENGTH
