"""The search as a library, for scripts and notebooks: what `import tune` gives."""
