"""`devlore …`: thin commands over the client, and the management of a local instance."""
