"""Search: finds memories again, by their words and by their meaning, and never shows what the caller may not see.

Owns: the lexical index on disk (Tantivy), the vector index in PostgreSQL (schema `search`), query language, ranking.
No index is the truth: each can be thrown away and built again from memory's rows.
Reacts to: `memory.created|updated|deleted|restored|purged`, as `search.lexical` and `search.vector`.
Emits: `search.near_duplicates_found`.
Asks: `ports.Memories.visible` (the last word on every hit), `scan` and `count`. Answers: `ports.Indexing`.
"""
