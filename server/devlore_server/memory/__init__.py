"""The memory service: the one place where memories are true.

Owns: memories, their past versions, links, status and validity, and how far each connection has been read.
Emits: ``memory.created``, ``memory.updated``, ``memory.deleted``, ``memory.restored``, ``memory.purged``.
Reacts to: ``search.near_duplicates_found`` (stores ``near_duplicate`` links, never refuses or merges).
"""
