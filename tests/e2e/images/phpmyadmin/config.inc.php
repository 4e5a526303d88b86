<?php
// What the image documents and Homeport uses: PMA_HOST, PMA_PORT, PMA_ABSOLUTE_URI; the cookie's secret in a file.
require_once '/etc/phpmyadmin/config.secret.inc.php';
$cfg['Servers'][1] = [
    'auth_type' => 'cookie',
    'host' => getenv('PMA_HOST') ?: 'db',
    'port' => getenv('PMA_PORT') ?: '',
];
if (getenv('PMA_ABSOLUTE_URI')) {
    $cfg['PmaAbsoluteUri'] = getenv('PMA_ABSOLUTE_URI');
}
$cfg['TempDir'] = '/tmp';
