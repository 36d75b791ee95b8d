"""Serving: clients, a local server, and tools that test a server.

client   send rows to a served model
server   mptrec-serve
testing  load and malformed requests
"""

__all__ = ["client", "server", "testing"]
