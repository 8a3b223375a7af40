"""What every service stands on, without a word of the domain: database, event log, HTTP, identifiers, clock, limits."""
