"""One model version in this process: load it, read requests by its signature, predict, answer."""
