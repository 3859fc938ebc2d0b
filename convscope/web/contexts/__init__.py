"""One dataclass a page: all that its template reads."""
