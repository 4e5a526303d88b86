<?php
// ADMINER_DEFAULT_SERVER fills the form's server, as the image documents; the rest is Adminer.
if (!isset($_GET['username']) && !isset($_POST['auth']) && !isset($_GET['file']) && getenv('ADMINER_DEFAULT_SERVER')) {
    $_GET['server'] ??= getenv('ADMINER_DEFAULT_SERVER');
}
chdir('/usr/share/adminer');
require glob('/usr/share/adminer/{adminer*.php,adminer/index.php}', GLOB_BRACE)[0];
