#!/bin/bash
# The documented interface: MARIADB_ROOT_PASSWORD, MARIADB_DATABASE, MARIADB_USER, MARIADB_PASSWORD, each also as _FILE.
set -eu

case "${1:-mariadbd}" in
  mariadbd) [ $# -eq 0 ] || shift ;;
  -*) ;;
  *) exec "$@" ;;
esac

data=/var/lib/mysql socket=/run/mysqld/mysqld.sock

value() {
  local file=${1}_FILE
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}

quoted() { # for SQL: a backslash and a quote inside a string
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\\\'}"
}

if [ ! -d "$data/mysql" ]; then
  root=$(value MARIADB_ROOT_PASSWORD) user=$(value MARIADB_USER)
  password=$(value MARIADB_PASSWORD) database=$(value MARIADB_DATABASE)
  if [ -z "$root" ]; then
    echo >&2 "Database is uninitialized and password option is not specified"
    exit 1
  fi
  mariadb-install-db --datadir="$data" --skip-test-db --auth-root-authentication-method=normal --skip-log-bin >/dev/null
  mariadbd --datadir="$data" --skip-networking --socket="$socket" &
  server=$!
  until mariadb-admin --socket="$socket" -uroot ping >/dev/null 2>&1; do
    kill -0 "$server"
    sleep 0.1
  done
  check=$(head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n')
  {
    echo "DELETE FROM global_priv WHERE user = 'root' AND host <> 'localhost'; FLUSH PRIVILEGES;"
    [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
    if [ -n "$user" ]; then
      echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
      [ -z "$database" ] || echo "GRANT ALL ON \`${database//_/\\_}\`.* TO $(quoted "$user")@'%';"
    fi
    for host in 127.0.0.1 ::1 localhost; do
      echo "CREATE USER healthcheck@'$host' IDENTIFIED BY '$check'; GRANT USAGE ON *.* TO healthcheck@'$host';"
    done
    echo "CREATE USER root@'%' IDENTIFIED BY $(quoted "$root"); GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    echo "ALTER USER root@localhost IDENTIFIED BY $(quoted "$root");"
  } | mariadb --socket="$socket" -uroot mysql
  (
    umask 077
    printf '[mariadb-client]\nport=3306\nsocket=%s\nuser=healthcheck\npassword=%s\n' "$socket" "$check" \
      >"$data/.my-healthcheck.cnf"
  )
  kill "$server"
  wait "$server"
  echo "MariaDB init process done. Ready for start up."
fi

exec mariadbd --datadir="$data" --socket="$socket" "$@"
