#!/bin/bash
# The two questions that are asked of the image's own: does the server answer over TCP, and is InnoDB there.
set -eu

ask() {
  mariadb --defaults-extra-file=/var/lib/mysql/.my-healthcheck.cnf --skip-ssl -N -B "$@"
}

for option in "$@"; do
  case "$option" in
    --connect) ask -h 127.0.0.1 --protocol tcp -e 'select @@skip_networking' | grep -qx 0 ;;
    --innodb_initialized)
      ask --protocol socket -e "select 1 from information_schema.ENGINES
        where engine = 'innodb' and support in ('YES', 'DEFAULT', 'ENABLED')" | grep -qx 1
      ;;
    *)
      echo >&2 "not a question this stand-in knows: $option"
      exit 2
      ;;
  esac
done
