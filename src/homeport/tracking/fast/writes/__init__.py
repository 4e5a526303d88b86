"""Hot calls that write. All of them go through `group.py`, which commits many requests at once."""
