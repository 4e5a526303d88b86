"""A load test of a running platform: users of each kind, made by Locust, whose answers are all checked.

It knows the platform by its HTTP interface and by the variables of `homeport env`, and nothing of what is behind them.
`homeport run -- python -m loadtest --help`; docs/how-to/load-test.md
"""
