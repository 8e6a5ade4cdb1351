"""The REST side of the org: records, queries, composites, descriptions, limits.

`Api.handle` answers one request, whoever asks: the HTTP server, or a composite request for its parts.
"""
