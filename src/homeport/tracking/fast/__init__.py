"""The fast lane: MLflow's hot calls, answered on MLflow's own PostgreSQL schema as MLflow would."""
