"""Programs for who maintains Homeport: generated pages, written-down schemas, what a new MLflow needs."""
