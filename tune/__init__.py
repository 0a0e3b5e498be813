"""Hyperparameter search for fine-tuning ResNet image classifiers.

Ray Tune runs the trials, Optuna proposes them, MLflow records them. Importing the
package is cheap: what is slow loads with the module that needs it.
"""
