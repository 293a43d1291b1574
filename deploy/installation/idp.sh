#!/bin/sh
# The command `idp` of the image and of the Debian package: with argon2 compiled for x86-64-v3 (AVX2) if this CPU has that.
here=$(dirname "$(readlink -f "$0")")
loader=/lib64/ld-linux-x86-64.so.2
if [ -d "$here/../argon2-x86-64-v3" ] && "$loader" --help 2>/dev/null | grep -q 'x86-64-v3 (supported'; then
  export PYTHONPATH="$here/../argon2-x86-64-v3"
fi
# -P: without it, Python would import from the folder where the command is typed, with the rights of the person who types it.
exec "$here/python" -P -m idp "$@"
