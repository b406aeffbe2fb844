"""What is not collected: `guided.py` needs atheris."""

collect_ignore = ["guided.py"]
