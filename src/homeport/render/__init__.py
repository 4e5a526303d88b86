"""The graph as files for others to run: Compose documents, `.env`. Starts nothing and knows no process."""
