"""A real JupyterLab on loopback over copies of the notebooks, and a page in Chromium to drive it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request

import pytest
from driver import Lab, Server
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = ["chromium", "chromium-browser", "google-chrome"]  # the names it goes by on Debian, older Ubuntu, GitHub
FIREFOX = ["firefox-esr", "firefox"]
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"  # nothing that talks to the network by itself


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory):
    """JupyterLab, as someone who has just installed it finds it, over an empty folder."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "notebooks"
    folder.mkdir()
    # What this user has configured stays out of the test, and what the test leaves stays out of the user's home.
    places = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR"]
    places += ["JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR"]
    environment = os.environ | {place: str(home / place.lower()) for place in places}
    # The question whether to fetch Jupyter's news would lie over the notebook, and fetching it wants the network.
    page_config = home / "jupyter_config_dir" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}", home / "jupyter.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={folder}"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
                    pytest.fail(f"JupyterLab stopped: {log.read_text()}")
        else:
            pytest.fail(f"JupyterLab does not answer after a minute: {log.read_text()}")
        yield Server(address, folder)
    finally:
        process.terminate()  # it ends its kernels first
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def browser():
    """Chromium as the system has installed it, or with TINYGPT_BROWSER=firefox its Firefox, by WebDriver BiDi."""
    firefox = os.environ.get("TINYGPT_BROWSER") == "firefox"
    names = FIREFOX if firefox else CHROMIUM
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"the browser tests need one of {', '.join(names)} on PATH: install it (apt-get install {names[0]})"
    with sync_playwright() as playwright:
        if firefox:
            browser = playwright.firefox.launch(executable_path=found, channel="moz-firefox")
        else:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def lab(server: Server, browser: Browser):
    """A fresh page of JupyterLab; the test fails if an error was left in the page or the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    lab = Lab(context.new_page(), server)
    yield lab
    lab.page.evaluate("globalThis.jupyterapp?.serviceManager.sessions.shutdownAll()")
    context.close()
    assert not lab.errors, "\n".join(lab.errors)
