"""Programs as separate processes, forked from a process that has already imported the product.

Starting an interpreter and importing the product takes more than a second, a fork takes 20 ms. The same code runs: `idp
…` as the installed script calls it, `python -m MODULE …` by `runpy`, each with its own arguments, environment, working
directory and files. Of Python's variables only `PYTHONWARNINGS=error` has an effect; passwords are hashed cheaply
(`tests.cheap_hashes`). The parent process has no threads and no connections. Tests of the installed command itself, of
Python's own options, or of the real hash use `subprocess`.
"""

import atexit
import contextvars
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
"""The name of the command line program; any other program is a module."""
PATIENCE = 120.0
"""The default timeout of a program in seconds."""

context = multiprocessing.get_context("forkserver")
"""Forks processes of that process."""
context.set_forkserver_preload(["tests.preloaded"])


class Program:
    """A running program: the part of `subprocess.Popen` that tests need.

    Args:
        command: `IDP`, or a module to run as `python -m` does; then its arguments.
        env: the whole environment; that of this process if none is given.
        cwd: the working directory.
        stdin: the standard input of the program.
        output: the file for standard output, and for standard error too unless `errors` is given; without it both are
            available as `stdout` and `stderr`.
        errors: the file for standard error.
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
        with tempfile.TemporaryFile() as input_file:
            input_file.write(stdin.encode())
            input_file.seek(0)
            files = [input_file, self._out, self._err]
            self._process = context.Process(
                target=_run,
                args=(command, dict(os.environ if env is None else env), str(cwd), _Files(files)),
            )
            self._process.start()

    def _kept(self) -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        weakref.finalize(self, file.close)
        return file

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code as in `subprocess`; None while the program runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float = PATIENCE) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired(self.command, timeout)
        return self._process.exitcode

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Wait for the end of the program; return both outputs. See `wait`."""
        self.wait(timeout)
        return self.stdout, self.stderr

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    @property
    def stdout(self) -> str:
        return _read(self._out)

    @property
    def stderr(self) -> str:
        return _read(self._err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        self.wait()


def forkable(command: Sequence[str]) -> list[str]:
    """Return the `Program` command for a command line of `idp` by its path, or of Python with `-m`."""
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
        TimeoutExpired: the program took more than `timeout` seconds and was killed.
    """
    with Program(*command, env=env, cwd=cwd, stdin=stdin) as program:
        code = program.wait(timeout)
        return CompletedProcess(command, code, program.stdout, program.stderr)


def succeed(*command: str, **how: Any) -> str:
    """Run a program that must exit with 0; return its standard output. See `run`."""
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
        for place, copy in enumerate(self._copies):  # type: ignore[attr-defined]
            taken = copy.detach()
            os.dup2(taken, place)
            os.close(taken)


def _read(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def _run(command: tuple[str, ...], env: dict[str, str], cwd: str, files: _Files) -> None:
    files.take()
    multiprocessing.set_start_method(None, force=True)  # Python's default, with which `idp serve` forks its workers
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the one of the parent process is closed
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if "SSL_CERT_FILE" in env:
        connections.tls_context.cache_clear()  # the parent process has cached the system's authorities
    if env.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    program, *arguments = command
    try:
        if program == IDP:
            sys.argv = [IDP, *arguments]
            contextvars.Context().run(cli.main)  # nothing of the tests is shared
        else:
            sys.argv = [program, *arguments]
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
