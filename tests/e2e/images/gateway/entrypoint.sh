#!/bin/sh
# As the image documents: options, or a subcommand of traefik, are given to it; anything else is run.
set -eu
case "${1:-}" in
  -*) set -- traefik "$@" ;;
  healthcheck | version | help) set -- traefik "$@" ;;
esac
exec "$@"
