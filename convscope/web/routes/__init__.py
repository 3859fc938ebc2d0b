"""Addresses of the app and the pages that answer them."""
