"""Sweeps: numbers of work, plan, chip, prices and software over ranges, up to more rows than memory holds."""
