#!/bin/sh
# Makes the database on the first start on a volume, then becomes the server (or whatever the arguments say).
#   MARIADB_DATABASE, MARIADB_USER        are made
#   MARIADB_PASSWORD[_FILE]               the user's password, or the file that has it
# Then each *.sql and *.sh of /docker-entrypoint-initdb.d is run, in the order of names.
set -eu

data=/var/lib/mysql
made=$data/made-by-entrypoint

make_database() {
  password=${MARIADB_PASSWORD:-}
  [ -z "${MARIADB_PASSWORD_FILE:-}" ] || password=$(cat "$MARIADB_PASSWORD_FILE")
  : "${MARIADB_DATABASE:?}" "${MARIADB_USER:?}" "${password:?MARIADB_PASSWORD or MARIADB_PASSWORD_FILE must be set}"

  # A start that was broken off has left half of it.
  find "$data" -mindepth 1 -delete
  echo "entrypoint: making the database"
  mariadb-install-db --datadir="$data" --auth-root-authentication-method=socket --auth-root-socket-user=mysql \
    --skip-test-db >/dev/null

  # Nobody is let in from outside before all is there.
  mariadbd --skip-networking &
  server=$!
  until mariadb --user=mysql --execute='SELECT 1' >/dev/null 2>&1; do
    kill -0 "$server"
    sleep 0.1
  done
  quoted=$(printf '%s' "$password" | sed "s/[\\\\']/\\\\&/g")
  mariadb --user=mysql <<SQL
CREATE DATABASE \`$MARIADB_DATABASE\`;
CREATE USER \`$MARIADB_USER\`@'%' IDENTIFIED BY '$quoted';
GRANT ALL ON \`$MARIADB_DATABASE\`.* TO \`$MARIADB_USER\`@'%';
SQL
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sql) echo "entrypoint: running $file"; mariadb --user=mysql "$MARIADB_DATABASE" <"$file" ;;
      *.sh) echo "entrypoint: running $file"; sh "$file" ;;
    esac
  done
  kill "$server"
  wait "$server"
  touch "$made"
}

if [ "${1:-}" = mariadbd ] && [ ! -e "$made" ]; then make_database; fi
exec "$@"
