"""Programs as processes of their own, forked from one that has imported the product already.

To start an interpreter and import the product takes more than a second, to fork takes 20 ms. What runs is the same:
`idp …` as the installed script calls it, `python -m MODULE …` by `runpy`, each with arguments, environment, working
directory and files of its own. Of Python's own variables, `PYTHONWARNINGS=error` alone has an effect; passwords are
hashed cheaply (`tests.cheap_hashes`). The process that forks has no threads and no connections. Tests of the installed
command itself, of Python's own options, or of the real hash use `subprocess`.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing import reduction
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import IO, Any, Self

from idp import cli
from idp.http_client import connections
from idp.paths import CHECKOUT

IDP = "idp"
"""The program that is the command line, and no module of the tests."""
PATIENCE = 120.0
"""Seconds that a program may take, unless its test says otherwise."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.preloaded"])


class Program:
    """A running program: the part of `subprocess.Popen` that tests need.

    Args:
        command: `IDP`, or a module to run as `python -m` does; then its arguments.
        env: the whole environment; that of this process if none is given.
        cwd: the working directory.
        stdin: what the program reads.
        output: where it writes standard output, and standard error too unless `errors` is given; if none is given,
            they are kept for `stdout` and `stderr`.
        errors: where it writes standard error.
    """

    def __init__(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
        stdin: str = "",
        output: IO[bytes] | None = None,
        errors: IO[bytes] | None = None,
    ) -> None:
        self.command = command
        self._out, self._err = (output or self._kept(), errors or output or self._kept())
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            files = [given, self._out, self._err]
            self._process = _context.Process(
                target=_run,
                args=(command, dict(os.environ if env is None else env), str(cwd), _Files(files)),
            )
            self._process.start()

    def _kept(self) -> IO[bytes]:
        """Return a file that is closed with this object."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        weakref.finalize(self, file.close)
        return file

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As `subprocess` has it; None while the program runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code; None while the program runs."""
        return self._process.exitcode

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return the exit code when the program has ended.

        Raises:
            TimeoutExpired: it still runs after `timeout` seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired(self.command, timeout)
        return self._process.exitcode

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Return both outputs when the program has ended. See `wait`."""
        self.wait(timeout)
        return self.stdout, self.stderr

    def send_signal(self, number: int) -> None:
        """Send a signal to the program, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the program to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program at once."""
        self.send_signal(signal.SIGKILL)

    @property
    def stdout(self) -> str:
        """What the program has written to standard output so far."""
        return _read(self._out)

    @property
    def stderr(self) -> str:
        """What the program has written to standard error so far."""
        return _read(self._err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        self.wait()


def forkable(command: Sequence[str]) -> list[str]:
    """Return what `Program` takes for a command line: of `idp` by its path, or of Python with `-m`."""
    if Path(command[0]).name == IDP:
        return [IDP, *command[1:]]
    assert list(command[:2]) == [sys.executable, "-m"], command
    return list(command[2:])


def run(
    *command: str,
    env: Mapping[str, str] | None = None,
    cwd: Path = CHECKOUT,
    stdin: str = "",
    timeout: float = PATIENCE,
) -> "CompletedProcess[str]":
    """Run a program to its end; see `Program`.

    Raises:
        TimeoutExpired: it took more than `timeout` seconds, and was killed.
    """
    with Program(*command, env=env, cwd=cwd, stdin=stdin) as program:
        code = program.wait(timeout)
        return CompletedProcess(command, code, program.stdout, program.stderr)


def succeed(*command: str, **how: Any) -> str:
    """Run a program that must end with 0; return what it wrote to standard output. See `run`."""
    done = run(*command, **how)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class _Files:
    """Files that become standard input, output and error of the program."""

    def __init__(self, files: list[IO[bytes]]) -> None:
        self._files = files

    def __getstate__(self) -> dict[str, Any]:
        return {"_copies": [reduction.DupFd(file.fileno()) for file in self._files]}

    def take(self) -> None:
        """Put the files in their places, in the program."""
        for place, copy in enumerate(self._copies):  # type: ignore[attr-defined]
            taken = copy.detach()
            os.dup2(taken, place)
            os.close(taken)


def _read(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def _run(command: tuple[str, ...], env: dict[str, str], cwd: str, files: _Files) -> None:
    files.take()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the server's own is closed
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if "SSL_CERT_FILE" in env:
        connections.tls_context.cache_clear()  # the process that forks read the system's authorities
    if env.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    program, *arguments = command
    try:
        if program == IDP:
            sys.argv = [IDP, *arguments]
            cli.main()
        else:
            sys.argv = [program, *arguments]
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
