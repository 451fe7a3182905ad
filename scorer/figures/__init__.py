"""Figures of scores, drawn with matplotlib's objects: no window, no state shared between threads.

Imports matplotlib, and is itself imported only where a figure is drawn. The same records give the same bytes.
"""

from __future__ import annotations

from scorer.figures.calibration import calibration_figure
from scorer.figures.layers import layers_figure
from scorer.figures.matrix import matrix_figure
from scorer.figures.scaling import scaling_figure
from scorer.figures.style import Format

__all__ = ["Format", "calibration_figure", "layers_figure", "matrix_figure", "scaling_figure"]
