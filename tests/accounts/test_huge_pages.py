"""Hashes in kept memory are those of argon2-cffi. Ids are those of docs/security.md."""

import threading

import pytest
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ffi
from hypothesis import given, settings as hypothesis_settings, strategies as st

from idp.accounts.passwords.hasher import HugePageHasher
from tests.rows import each_row

RIGHT = "tortue velours cascade ancre"
BIG = HugePageHasher(time_cost=2, memory_cost=19_456)
SMALL = HugePageHasher(time_cost=1, memory_cost=8)


def matches(hasher: PasswordHasher, encoded: str, password: str | bytes) -> bool:
    try:
        return hasher.verify(encoded, password)
    except VerificationError:
        return False


@pytest.mark.row("I-15")
@hypothesis_settings(deadline=None, database=None)
@given(st.binary(max_size=512), st.binary(max_size=512))
def test_kept_memory_gives_the_hashes_of_the_library(right: bytes, other: bytes) -> None:
    library = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    encoded = library.hash(right)
    for password in (right, other):
        assert matches(SMALL, encoded, password) == matches(library, encoded, password) == (password == right)


def test_real_parameters_give_the_hashes_of_the_library() -> None:
    encoded = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(RIGHT)
    assert matches(BIG, encoded, RIGHT)
    assert not matches(BIG, encoded, RIGHT + "x")
    assert matches(BIG, encoded, RIGHT), "the memory can be used again"


@pytest.mark.parametrize("password", [RIGHT, "faux"])
def test_memory_is_wiped_after_each_hash(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    used: list[bool] = []
    memory = BIG._memory
    free = ffi.callback("void(uint8_t *, size_t)", lambda _memory, _size: used.append(True))
    monkeypatch.setattr(memory, "free", free)
    matches(BIG, BIG.hash(RIGHT), password)
    assert used == [True]
    assert memory.block[:] == bytes(len(memory.block))


def test_each_thread_has_memory_of_its_own() -> None:
    encoded = BIG.hash(RIGHT)
    blocks: set[int] = set()
    together = threading.Barrier(3)

    def work() -> None:
        together.wait(60)
        assert all(matches(BIG, encoded, RIGHT) for _ in range(5))
        blocks.add(id(BIG._memory.block))
        together.wait(60)  # no block is freed before all threads have one

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(blocks) == 3


@each_row(
    "former",
    [
        PasswordHasher(time_cost=2, memory_cost=8, parallelism=1),
        PasswordHasher(time_cost=1, memory_cost=16, parallelism=1),
        PasswordHasher(time_cost=1, memory_cost=16, parallelism=2),
        PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16),
        PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, salt_len=8),
        PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=Type.I),
    ],
)
def test_other_parameters_are_verified_too(former: PasswordHasher) -> None:
    encoded = former.hash(RIGHT)
    assert matches(SMALL, encoded, RIGHT)
    assert not matches(SMALL, encoded, "faux")


def test_malformed_base64_is_no_hash() -> None:
    salt, tag = SMALL.hash(RIGHT).split("$")[-2:]
    with pytest.raises(InvalidHashError):
        SMALL.verify(f"$argon2id$v=19$m=8,t=1,p=1${salt}${'!' * len(tag)}", RIGHT)
