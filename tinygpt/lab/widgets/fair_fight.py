"""FairFight: the same tuning budget for every optimizer, fought once and judged by knobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

from tinygpt.lab.charts.fight import FightPicture, fight_caption
from tinygpt.lab.charts.style import styles
from tinygpt.lab.fight import RATES, fair_fight
from tinygpt.lab.surfaces import SURFACES, Loss, Surface, as_surface
from tinygpt.lab.widgets.explorer import RACE
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, counter, hyperparameters, keywords, slider
from tinygpt.optimizers import Optimizer

_TOLERANCE = Knob("within", "how near the minimum's loss counts as arrived", -8, 2, 1e-3, 0.25, log=True)


class FairFight(Instrument):
    """A fight between optimizers on equal terms: every λ of one grid, from every start, once for each of them.

    `optimizers` maps labels to classes or partials, as for the Explorer; what they leave free besides the learning rate
    stays at its default. The fight runs when the figure is made, through `executor`: processes of its own, if none is
    given, or say a Dask cluster's `Client(…).get_executor()`; see `fair_fight` for what is walked. The knobs judge it:
    how near is near enough, and what fewer steps or starts would have shown. `fight` holds the result.
    """

    def __init__(
        self,
        surface: Surface | str | Loss = "gentle_rosenbrock",
        optimizers: Mapping[str, Callable[..., Optimizer]] | None = None,
        rates: Sequence[float] | None = None,
        seeds: int = 10,
        steps: int = 500,
        tolerance: float = 1e-3,
        executor: Executor | None = None,
        progress: bool = True,
    ) -> None:
        makers = RACE if optimizers is None else optimizers
        found = as_surface(surface)
        self._walked = fair_fight(
            found,
            {label: _with_defaults(make) for label, make in makers.items()},
            RATES if rates is None else rates,
            range(seeds),
            steps,
            tolerance,
            executor,
            progress,
        )
        self._styles = styles(makers)
        name = next((name for name, own in SURFACES.items() if own is found), None)
        self.fixed = {"surface": name or surface}
        self.fixed |= {} if optimizers is None else {"optimizers": optimizers}
        self.fixed |= {} if rates is None else {"rates": list(map(float, rates))}
        self.knobs = {
            "tolerance": slider(tolerance, _TOLERANCE),
            "steps": counter(steps, 1, steps, "steps", "steps allowed"),
            "seeds": counter(seeds, 1, seeds, "starts", "starts, one for each seed"),
        }
        super().__init__()

    def compute(self) -> None:
        """Judge the walks that were walked."""
        self.fight = self._walked.judged(*(self.knobs[name].value for name in ("tolerance", "steps", "seeds")))

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> FightPicture:
        """The curves over the rows."""
        return FightPicture(self._styles, theme, ratio, narrow)

    def draw(self, scene: FightPicture) -> None:
        """Everybody's standing."""
        scene.draw(self.fight)

    def words(self) -> str:
        """The leaderboard, and what of it is chance."""
        return fight_caption(self.fight)


def _with_defaults(make: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """The optimizer with all that it leaves free at its default, but for λ; those of the race as they race."""
    races = any(make is racer for racer in RACE.values())
    free = {name: value for name, value in hyperparameters(make, races).items() if name != "learning_rate"}
    return partial(make, **keywords(make, free))
