"""Watching a model in production: from its request logs, whether it still fits what it is asked.

watched_version   `open_version`: the version, and what its training rows were like
request_logs      `RequestLog`: reads what TF Serving or mptrec-serve logged
outcomes          `Labels`, `Join`: labels that came later
watch             `watch`: does it
recommending      the rules of what is recommended, and their limits
report            `make_page`, `make_json`
"""

__all__ = ["outcomes", "recommending", "report", "request_logs", "watch", "watched_version"]
