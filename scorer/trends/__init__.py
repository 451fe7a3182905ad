"""How a score changes with model size: steps, rank correlations and slopes, ladder by ladder and pooled.

Imports numpy, scipy.special and `shared`. What is pooled and what comes out is said in `shared.trends`.
"""

from scorer.trends.trend import measure_trend

__all__ = ["measure_trend"]
