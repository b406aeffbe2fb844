"""The physics: operators are counted without a chip, priced on its roofs, and summed. Pure functions of numbers."""
