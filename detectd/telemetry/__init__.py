"""How the service tells of itself: logs on stderr, a progress bar."""
