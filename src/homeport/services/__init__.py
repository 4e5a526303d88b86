"""Settings -> services and jobs, one file a component, and nothing else: no I/O beyond looking for a program."""
