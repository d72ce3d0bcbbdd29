"""Bad inputs, as tables: see `__main__.py`."""
