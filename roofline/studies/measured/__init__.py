"""Published measurements: how tables of them are read, and how each row is predicted."""
