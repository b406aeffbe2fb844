"""roofline: predicts how fast a chip runs a large language model, before anyone buys the chip."""

__version__ = "0.1.0"
