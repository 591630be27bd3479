"""Everything `manage.py serve` runs: embedded stores, web processes, the worker, and what watches them."""
