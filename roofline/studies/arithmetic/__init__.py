"""Prices written out: the constants that enter an operator's time, and each step of the law as text over them.

The engine computes (`roofline.engine.roof`, `collectives`, `phases`). Here the same laws stand as text for people,
without the factors that do nothing for this operator on this chip. Every value is that of its text, so a test need only
compare the last one with the engine's price: the two can't drift apart.
"""
