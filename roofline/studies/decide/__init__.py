"""Who trains, where inference runs, and on which chip: the options for a need, ranked."""

from roofline.studies.decide.decision import decide

__all__ = ["decide"]
