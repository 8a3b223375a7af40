# Stands in for python:3.11-slim-bookworm: Debian's own Python of the same version.
FROM devlore-base:bookworm
