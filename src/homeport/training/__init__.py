"""The reference pipelines: wine-quality (regression) and penguins (classification), from data to champion.

They are a program of their own, ``python -m homeport.training``, and know the platform only as any MLflow client does,
through MLFLOW_TRACKING_URI. How the platform is run, and where its artifacts are kept, they refuse to know.
"""
