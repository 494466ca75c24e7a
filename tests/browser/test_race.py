"""The race in a real browser: every kind of control repaints the picture, and nothing complains."""

import pytest
from driver import SECOND, Lab

pytestmark = pytest.mark.browser


class Race:
    """The first explorer of the first lesson, with what a reader's hands do to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.page = lab, lab.page
        self.explorer = self.page.locator(".tinygpt-instrument").first
        self.canvas = self.explorer.locator("canvas")

    def pixels(self) -> str:
        return self.canvas.evaluate("canvas => canvas.toDataURL()")

    def caption(self) -> str:
        return self.explorer.locator(".tinygpt-picture p").inner_text()

    def frame(self) -> int:
        return int(self.canvas.get_attribute("data-frame"))

    def settle(self, seen: int) -> None:
        """Waits for a frame after that one, and until no further one is on its way."""
        newer = "([canvas, seen]) => Number(canvas.dataset.frame) > seen"
        self.page.wait_for_function(newer, arg=[self.canvas.element_handle(), seen], timeout=20 * SECOND)
        self.lab.wait_until_idle()

    def press(self, control: str, key: str) -> None:
        """Focuses a slider by its accessible name and presses a key."""
        self.explorer.get_by_role("slider", name=control, exact=True).first.focus()
        self.page.keyboard.press(key)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture, in fractions of its width and height, on the page."""
        box = self.canvas.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=4)
        self.page.mouse.up()

    def type(self, field: str, text: str) -> None:
        """As hands do it: Playwright's own fill leaves a number's field empty in Firefox."""
        self.explorer.get_by_label(field).focus()
        for press in ("ControlOrMeta+a", *text, "Enter"):
            self.page.keyboard.press(press)

    def open_fold(self) -> None:
        self.explorer.get_by_text("every knob of every optimizer").click()

    def play(self) -> None:
        """Plays until a few frames have passed, and stops."""
        self.press("step shown", "Home")
        seen = self.frame()
        self.explorer.locator(".widget-play button").first.click()
        self.settle(seen + 3)
        self.explorer.locator(".widget-play button").first.click()


CONTROLS = {
    "learning rate": lambda race: race.press("learning rate λ", "ArrowRight"),
    "momentum": lambda race: race.press("momentum μ", "ArrowLeft"),
    "beta one": lambda race: race.press("beta one, forgetting of the gradient's mean", "ArrowLeft"),
    "beta two": lambda race: race.press("beta two, forgetting of the gradient's size", "PageDown"),
    "steps": lambda race: race.press("steps", "ArrowLeft"),
    "scrubbing": lambda race: race.press("step shown", "PageDown"),
    "playing": lambda race: race.play(),
    "the tuned rates": lambda race: race.explorer.get_by_role("button", name="tuned").click(),
    "the surface menu": lambda race: race.explorer.get_by_label("surface").select_option("Himmelblau"),
    "an optimizer's box": lambda race: race.explorer.get_by_role("checkbox").nth(1).click(),
    "a click on the hill": lambda race: race.drag((0.2, 0.3), (0.2, 0.3)),
    "a drag on the hill": lambda race: race.drag((0.2, 0.3), (0.3, 0.6), (0.4, 0.5)),
    "an arrow key on the picture": lambda race: race.canvas.press("ArrowUp"),
    "the start's field": lambda race: race.type("start x", "0.5"),
    "an own knob under the fold": lambda race: (race.open_fold(), race.press("SGD weight decay", "ArrowRight")),
    "the start's reset": lambda race: (race.type("start y", "2"), race.explorer.get_by_text("reset start").click()),
    "the knobs' reset": lambda race: (
        race.press("learning rate λ", "ArrowRight"),
        race.explorer.get_by_text("reset knobs").click(),
    ),
}


@pytest.fixture(scope="module")
def opened(server, browser):
    """The first lesson, run to the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    lab = Lab(context.new_page(), server)
    lab.open("00-race.ipynb")
    lab.run_all()
    race = Race(lab)
    race.canvas.scroll_into_view_if_needed()
    yield race
    context.close()


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_repaints_the_picture_and_its_caption(opened, control):
    pixels, frame = opened.pixels(), opened.frame()
    CONTROLS[control](opened)
    opened.settle(frame)
    assert (opened.pixels() != pixels, opened.lab.errors) == (True, [])


def test_the_caption_names_the_start_that_was_typed(opened):
    frame = opened.frame()
    opened.type("start x", "0.25")
    opened.settle(frame)
    assert "from (0.25, " in opened.caption()


def test_every_slider_and_button_has_an_accessible_name(opened):
    handles = opened.explorer.locator(".noUi-handle, .widget-play button, canvas")
    assert [h for h in handles.all() if not h.get_attribute("aria-label")] == []


def test_the_picture_is_stacked_in_a_narrow_window_and_wide_again(opened):
    stacked, beside = ("canvas => canvas.height > canvas.width", "canvas => canvas.height < canvas.width")
    opened.page.set_viewport_size({"width": 560, "height": 1600})
    opened.page.wait_for_function(stacked, arg=opened.canvas.element_handle(), timeout=20 * SECOND)
    opened.page.set_viewport_size({"width": 1280, "height": 1600})
    opened.page.wait_for_function(beside, arg=opened.canvas.element_handle(), timeout=20 * SECOND)
    assert opened.lab.errors == []


def test_running_the_cell_again_closes_the_widgets_it_had_made(opened):
    count = "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel._comms.size"
    opened.lab.run_all()
    before = opened.page.evaluate(count)
    opened.lab.run_all()
    assert opened.page.evaluate(count) == before


def test_the_last_picture_and_its_caption_stay_when_the_kernel_is_gone_and_sliders_move(lab):
    lab.open("00-race.ipynb")
    lab.run_all()
    race = Race(lab)
    race.canvas.scroll_into_view_if_needed()
    before = race.pixels(), race.caption()
    lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    for _ in range(5):
        race.press("learning rate λ", "ArrowRight")
    race.drag((0.2, 0.3), (0.3, 0.6))
    race.canvas.press("ArrowUp")
    unsent = "console: Could not send widget sync message"  # what ipywidgets notes, and no reader sees
    lab.errors[:] = [error for error in lab.errors if not error.startswith(unsent)]
    assert (race.pixels(), race.caption(), lab.errors) == (*before, [])
