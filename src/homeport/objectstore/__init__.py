"""The object store: an S3 server over a directory, and the job that makes the bucket. Knows no supervisor, no CLI."""
