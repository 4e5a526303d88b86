"""The platform as containers: Compose is asked to start and stop them, the engine how they are. Prints nothing."""
