"""Images under the tags compose.yaml names, made from Debian's packages and wheels: no registry needed."""
