"""The tracking front: MLflow's own application, its schema job and an honest readiness; knows no supervisor."""
