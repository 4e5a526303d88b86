"""Runs any graph of services and jobs as local processes. Knows nothing of what they are for.

Rooms: layout (where things lie), local (values become text), state and engine (what happens when), process, launch and
warden (nothing is left behind), daemon and client (one owner per home), logs and timings (what there is to read).
"""
