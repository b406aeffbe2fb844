"""Sweeps: numbers of work, plan, chip, prices and software over ranges, from one mesh to more rows than memory holds."""
