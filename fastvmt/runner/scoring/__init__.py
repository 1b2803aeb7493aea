"""Metrics on one video: a record of each, of those that fail as well."""
