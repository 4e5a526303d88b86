"""The command line: reads what the user typed, asks the platform, prints. The only package that prints."""
