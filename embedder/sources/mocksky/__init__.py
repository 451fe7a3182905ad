"""MockSky, a simulated universe: deterministic galaxies in three imaging surveys and one spectrograph.

Nothing in it was observed.
"""

from embedder.sources.mocksky.source import LABELS, MODALITIES, VERSION, Label, MockSky

__all__ = ["LABELS", "MODALITIES", "VERSION", "Label", "MockSky"]
