<?php
// Mounted at /etc/phpmyadmin/config.secret.inc.php: on a read-only file system the image cannot make one of its own.
// The key encrypts the login cookie; phpMyAdmin wants 32 bytes, and the same ones in every container.
$cfg['blowfish_secret'] = hash('sha256', trim(file_get_contents(getenv('HOMEPORT_COOKIE_KEY_FILE'))), true);
