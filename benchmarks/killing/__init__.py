"""Killing searches, and looking for what was lost by it."""
