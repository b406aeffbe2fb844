"""Models as Hugging Face repositories describe them: a `config.json`, and the headers of the checkpoint beside it."""
