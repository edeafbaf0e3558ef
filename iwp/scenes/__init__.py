"""Procedural scenes with exact questions: training data and exam of the embedded model."""
