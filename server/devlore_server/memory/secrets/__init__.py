"""Secrets in what is written: found by rules, then masked, refused or flagged, as the organisation says."""
