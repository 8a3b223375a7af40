"""SQL of the integration service."""
