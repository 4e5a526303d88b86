"""The chart's values, once: values.yaml, its schema, its reference page and `homeport render values` come from here."""
