#!/bin/bash
# What the documentation of the image of PostgreSQL promises, as far as compose.yaml relies on it: the server runs as the user `postgres`. In a new
# volume, the superuser `postgres` has the password of POSTGRES_PASSWORD_FILE, other hosts need a password, and the files of
# /docker-entrypoint-initdb.d run, with POSTGRES_PASSWORD in their environment, on a server that only the socket reaches.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -g postgres -m 700 "$PGDATA"
  install -d -o postgres -g postgres -m 3775 /run/postgresql
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  export POSTGRES_PASSWORD
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # shellcheck disable=SC2086
  initdb --username=postgres --pwfile=<(echo "$POSTGRES_PASSWORD") $POSTGRES_INITDB_ARGS
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait --options="-c listen_addresses=''" start
  for file in /docker-entrypoint-initdb.d/*.sql; do
    psql --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --file="$file"
  done
  pg_ctl --wait --mode=fast stop
fi
exec "$@"
