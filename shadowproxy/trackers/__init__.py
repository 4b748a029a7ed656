"""Evaluations into experiment trackers: MLflow and Weights & Biases.

``tracking`` is the entry for whoever evaluates; ``record`` decides what is logged, ``names`` under which name; ``mlflow_runs`` and
``wandb_runs`` are the two shells. Neither client is imported unless it is asked for.
"""
