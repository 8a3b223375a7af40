"""One module per command or small family of commands; each is imported only when it is run."""
