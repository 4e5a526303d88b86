"""The platform in containers, end to end, on a real Docker engine."""
