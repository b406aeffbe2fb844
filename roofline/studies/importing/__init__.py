"""What users have already, as files that every command reads: models of Hugging Face, results of benchmarks."""
