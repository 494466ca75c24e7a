"""The laboratory: surfaces, descents, pictures and the instruments that lessons are played on.

Needs matplotlib, ipywidgets and anywidget: `pip install "tinygpt[lab]"`.
"""

from tinygpt.lab.descent import Trajectory, descend
from tinygpt.lab.source import show_source
from tinygpt.lab.surfaces import SURFACES, Surface, quadratic
from tinygpt.lab.widgets.explorer import RACE, Explorer

__all__ = ["RACE", "SURFACES", "Explorer", "Surface", "Trajectory", "descend", "quadratic", "show_source"]
