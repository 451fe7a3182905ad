"""Same Sky from Python: `from samesky import Client`."""

from services.client import Client

__all__ = ["Client"]
