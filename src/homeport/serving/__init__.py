"""The model-serving API: registered models over HTTP, following their alias. Start reading at `worker.py`."""
