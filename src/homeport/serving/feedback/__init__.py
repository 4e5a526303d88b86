"""The prediction log: a database of ours that holds what was asked, what was answered and what was true."""
