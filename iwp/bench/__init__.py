"""Measured tables and pictures: the paper's ablations and analyses, on any supported model."""
