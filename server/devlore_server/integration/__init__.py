"""The integration service: brings memories in from where developers already write.

Owns: connections, their syncs and progress, the connectors, and which items each connection has brought in.
Calls: ``ports.Memories`` to store batches, each with the checkpoint behind it.
Emits and reacts to: nothing.
"""
