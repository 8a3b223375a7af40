"""SQL of the memory service, split by noun; every function takes the caller's transaction."""
