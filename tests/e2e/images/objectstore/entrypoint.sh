#!/bin/sh
# The image's entry point gives `mini`, and all that it has no options of its own for, to weed as it is.
exec /usr/bin/weed "$@"
