"""Who trains, where inference runs, and on which chip: the options for a need, ranked."""
