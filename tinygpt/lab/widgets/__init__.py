"""Widgets: knobs and pictures that a reader moves. They hold no formula."""
