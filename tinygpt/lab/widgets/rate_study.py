"""RateStudy: a stored study, final loss by learning rate for every optimizer."""

from __future__ import annotations

import os

from tinygpt.lab.charts.study import StudyPicture, study_caption
from tinygpt.lab.study import ALL, read_study
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import menu


class RateStudy(Instrument):
    """What every optimizer came to at each of its learning rates, as a script measured and stored it.

    `file` is what the script wrote; `source` is one of the study's, the first if none is given, and `tokens` those
    whose loss is shown. Where a source has no such kind of tokens all are shown. Nothing is trained here.
    """

    def __init__(self, file: str | os.PathLike[str], source: str | None = None, tokens: str = ALL) -> None:
        self.study = read_study(file)
        sources = self.study.sources
        kinds = list(dict.fromkeys(kind for each in sources for kind in self.study.tokens(each)))
        self.knobs = {
            "source": menu(sources[0] if source is None else source, sources, "source", "what was trained on"),
            "tokens": menu(tokens, kinds, "tokens", "whose loss is shown"),
        }
        self.fixed = {"file": os.fspath(file)}
        super().__init__()

    def compute(self) -> None:
        """Look up what is shown."""
        self.source, tokens = (knob.value for knob in self.knobs.values())
        self.tokens = tokens if tokens in self.study.tokens(self.source) else ALL
        self.sweeps = self.study.sweeps(self.source, self.tokens)

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> StudyPicture:
        """One panel."""
        return StudyPicture(theme, ratio, narrow)

    def draw(self, scene: StudyPicture) -> None:
        """The optimizers' curves."""
        scene.draw(self.source, self.tokens, self.sweeps)

    def words(self) -> str:
        """How low each comes, untuned and tuned."""
        return study_caption(self.source, self.tokens, self.study.settings, self.sweeps)
