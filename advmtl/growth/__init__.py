"""A network that grows where its tasks conflict."""
