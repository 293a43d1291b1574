"""Finds and writes the compressed static files.

`write` removes comments and blanks from the style sheets and scripts, and compresses each static file with Brotli and
gzip. It runs when a wheel is built, and by `make setup` in a checkout. The name of a compressed file contains the
digest of its source, so that the service never sends the content of an older source. If a compressed file is missing,
the service sends its source.
"""

import gzip
import hashlib
from pathlib import Path

from idp.paths import STATIC, STATIC_COMPRESSED

ENCODINGS = {"br": ".br", "gzip": ".gz"}  # the suffix for each content coding (RFC 9110 8.4.1; RFC 7932 for `br`)


def digest(path: Path) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 digest of a file: the version in its URL.

    Raises:
        OSError: the file cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def variants(path: Path) -> dict[str, str]:
    """Return the path of the compressed file for each coding; it may not exist."""
    name = f"{path.name}.{digest(path)}"
    return {coding: str(STATIC_COMPRESSED / f"{name}{suffix}") for coding, suffix in ENCODINGS.items()}


def minified(path: Path) -> bytes:
    """Return the content of a file; of a style sheet or a script, without comments and blanks."""
    import rcssmin  # noqa: PLC0415 - these two are dependencies of the build, not of the service
    import rjsmin  # noqa: PLC0415

    minify = {".css": rcssmin.cssmin, ".js": rjsmin.jsmin}.get(path.suffix)
    content = path.read_bytes()
    return bytes(minify(content)) if minify else content


def write() -> None:
    """Compress the static files of the service, and delete the compressed files of older ones."""
    import brotli  # noqa: PLC0415 - a dependency of the build, not of the service

    STATIC_COMPRESSED.mkdir(exist_ok=True)
    paths = {source: variants(source) for source in STATIC.iterdir()}
    known = {path for of_source in paths.values() for path in of_source.values()}
    for stale in {str(path) for path in STATIC_COMPRESSED.iterdir()} - known:
        Path(stale).unlink()
    for source, of_source in paths.items():
        content = minified(source)
        Path(of_source["br"]).write_bytes(brotli.compress(content))
        Path(of_source["gzip"]).write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    write()
