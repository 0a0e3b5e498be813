"""The record in MLflow."""
