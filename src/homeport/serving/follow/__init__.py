"""Which versions are served: references, the registry, the cache on disk, the table of what is loaded."""
