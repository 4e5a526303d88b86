#!/bin/sh
# pip as the site has it: its certificates and its index come as build secrets, and stay out of every layer.
set -eu
[ ! -f /run/secrets/ca-bundle ] || export PIP_CERT=/run/secrets/ca-bundle
[ ! -f /run/secrets/pip-config ] || export PIP_CONFIG_FILE=/run/secrets/pip-config
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
exec pip --python "${PIP_TARGET_PYTHON:-/opt/homeport/bin/python}" "$@"
