"""The embedded database: PostgreSQL over a directory, without a wrapper process. Knows no supervisor and no CLI."""
