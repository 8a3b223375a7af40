"""Owns the adapters to search engines, one file each."""
