"""Recipes: every setting of an experiment in one YAML file, checked on load."""
