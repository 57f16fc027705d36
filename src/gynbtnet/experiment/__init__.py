"""A whole experiment: its folders, its steps, its folds, its models and their report."""
