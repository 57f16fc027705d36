"""Parts of the ablation of stages 1 and 2; see ``benchmarks/pretraining_helps.py``."""
