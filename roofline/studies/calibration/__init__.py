"""Calibration: the constants of chips, families and stacks, fitted to the measurements that are set aside for it."""
