"""Proxied artifacts: streamed between client and S3 store with bounded memory and no temporary file.

Upstream stages every file whole on the server's disk, both ways (mlflow 3.17.2, server/artifact_router.py). What is not
plainly safe or not plainly S3 is passed on to MLflow. Refuses to know hot calls, databases and how processes are made.
"""
