"""Exercises: a check with three levels, hints, and the laws that every optimizer keeps. Stands on the core alone."""

from tinygpt.lab.exercises.adaptive import buggy
from tinygpt.lab.exercises.checking import EXERCISES, check, hints
from tinygpt.lab.exercises.exercise import Exercise
from tinygpt.lab.exercises.first import hidden_ravine, measured_floor
from tinygpt.lab.exercises.later import Trace, mystery, train
from tinygpt.lab.exercises.laws import LAWS, Finding, Report, conformance
from tinygpt.lab.exercises.verdict import Hints, Verdict

__all__ = [
    "EXERCISES",
    "LAWS",
    "Exercise",
    "Finding",
    "Hints",
    "Report",
    "Trace",
    "Verdict",
    "buggy",
    "check",
    "conformance",
    "hidden_ravine",
    "hints",
    "measured_floor",
    "mystery",
    "train",
]
