"""Learning curves: models trained with several budgets, seeds and numbers of patients, and their comparison."""
