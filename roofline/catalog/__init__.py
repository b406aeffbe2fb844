"""The files: how they are read, checked, found and turned into chips, models and workloads."""
