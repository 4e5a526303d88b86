"""The kinds of users, each a class for Locust. Every answer is checked; a wrong one counts as a failed request."""
