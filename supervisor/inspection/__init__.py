"""Content -> findings: what a file imports and declares. Parsing happens in a worker process."""
