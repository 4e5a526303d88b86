#!/bin/sh
# As the image's own: a cookie secret is made when there is none; without it no page is shown.
if [ ! -f /etc/phpmyadmin/config.secret.inc.php ]; then
  printf '<?php\n$cfg["blowfish_secret"] = "%s";\n' "$(head -c 16 /dev/urandom | od -An -vtx1 | tr -d ' \n')" \
    >/etc/phpmyadmin/config.secret.inc.php
fi
[ "$1" = apache2-foreground ] || exec "$@"
exec php -d session.save_path="$SESSION_SAVE_PATH" -S 0.0.0.0:80 -t /usr/share/phpmyadmin
