"""This machine, measured: what its chip reaches, as a chip file; and predictions from that file tried on real work."""
