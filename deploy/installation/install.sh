#!/bin/sh
# Install the service in a folder that goes to other machines: the image and the Debian package are made so.
#   deploy/installation/install.sh FOLDER PYTHON [PREFIX]
# PREFIX is the part of FOLDER that is not there on those machines. Run it in the root of the sources, with uv in PATH. All that uv downloads has its hash in uv.lock, the tools of the build too.
# The packages of traces are there too: nobody could add them to a file system without write access.
# The result has argon2 twice: as the wheel, which runs on every CPU, and compiled for x86-64-v3 if there is a C compiler.
# The command `idp` (idp.sh beside this file) chooses at each start.
set -eu
folder=$1 python=$2
here=$(dirname "$0")
compiled=$folder/argon2-x86-64-v3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export UV_PROJECT_ENVIRONMENT="$folder" UV_LINK_MODE=copy

sync() { uv sync --quiet --locked --no-default-groups --extra traces --python "$python" "$@"; }

uv venv --quiet --relocatable --python "$python" "$folder"
sync --group build --group argon2 --no-install-project

if [ "$(uname -m)" = x86_64 ]; then
  sed -n '/^argon2-cffi-bindings==/,/[^\\]$/p' constraints.txt >"$work/argon2.txt"
  CFLAGS="-O3 -march=x86-64-v3" uv pip install --quiet --python "$folder" --target "$compiled" --require-hashes --no-deps \
    --no-binary argon2-cffi-bindings --no-build-isolation --requirement "$work/argon2.txt" 2>"$work/log" || {
    rm -rf "$compiled"
    cat "$work/log" >&2
    echo "argon2 was not compiled for x86-64-v3, so that sign-ins take longer: see above." >&2
  }
fi

uv build --quiet --wheel --no-build-isolation --python "$folder" --out-dir "$work"
sync --no-install-project # removes the tools of the build
uv pip install --quiet --python "$folder" --no-index --no-deps "$work"/*.whl
find "$folder" -name direct_url.json -delete # it names the folder of the build
find "$folder/bin" -type f -delete # the commands of the dependencies
rm -rf "$folder/.lock" "$folder/.gitignore" "$folder/share" "$compiled/.lock"
install -m 755 "$here/idp.sh" "$folder/bin/idp"
find "$folder/lib" -name __pycache__ -type d -prune -exec rm -rf {} + # those of the build name FOLDER
for built in "$folder/lib" "$compiled"; do
  [ ! -d "$built" ] || "$folder/bin/python" -m compileall -q -s "${3-}" "$built"
done
