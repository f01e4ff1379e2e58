"""The main ways through the page in Firefox, which speaks WebDriver BiDi by itself."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from face_generation.site import write_site

FIREFOX = next(filter(None, map(shutil.which, ("firefox", "firefox-esr"))), None)
SECONDS = 120  # until what is waited for must be there, on a machine that is busy with other things as well

pytestmark = pytest.mark.skipif(FIREFOX is None, reason="no Firefox: apt-get install firefox-esr")


class Window:
    """A window of Firefox."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.count = 0
        self.complaints: list[str] = []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self.context = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **params: Any) -> Any:
        """What a command gives."""
        self.count += 1
        self.connection.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = json.loads(self.connection.recv(SECONDS))
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.complaints.append(message["params"]["text"])
            if message.get("id") == self.count:
                assert message["type"] == "success", message
                return message["result"]

    def open(self, address: str) -> None:
        self.send("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def tell(self, expression: str) -> Any:
        """The value of an expression in the page."""
        function = f"(async () => JSON.stringify([{expression}]))()"
        answer = self.send("script.evaluate", expression=function, target={"context": self.context}, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])[0]

    def click(self, selector: str) -> None:
        self.tell(f"document.querySelector({json.dumps(selector)}).click()")

    def move(self, selector: str, value: float) -> None:
        """Moves a slider."""
        self.tell(
            f"(slider => {{ slider.value = {value}; slider.dispatchEvent(new Event('input', {{ bubbles: true }})); }})"
            f"(document.querySelector({json.dumps(selector)}))"
        )

    def wait(self, condition: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not self.tell(condition):
            assert time.monotonic() < deadline, f"waited too long for {condition}"
            time.sleep(0.05)

    def wait_for(self, selector: str, count: int = 1) -> None:
        """Waits until so many elements are there and can be seen."""
        elements = f"[...document.querySelectorAll({json.dumps(selector)})]"
        self.wait(f"{elements}.filter((element) => element.checkVisibility()).length === {count}")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    profile = tmp_path_factory.mktemp("firefox")
    command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + SECONDS
        while not (port := listens_at(profile)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with connect(f"ws://127.0.0.1:{port}/session", max_size=None, open_timeout=SECONDS) as connection:
            yield Window(connection)
    finally:
        process.kill()
        process.wait()


def listens_at(profile: Path) -> int | None:
    """The port that Firefox chose, which it writes down when it listens there."""
    with suppress(OSError, json.JSONDecodeError):
        return json.loads((profile / "WebDriverBiDiServer.json").read_text())["ws_port"]
    return None


@pytest.mark.parametrize("drawn_by", ["server", "browser"])
def test_the_main_ways_work_in_firefox(
    window: Window, serving: Any, hosting: Any, tmp_path: Path, told_bundle: Path, runtime: Path, drawn_by: str
) -> None:
    with ExitStack() as stack:
        if drawn_by == "server":
            address = f"{stack.enter_context(serving(tmp_path, f'bundles={told_bundle}')).url}/"
        else:
            write_site(tmp_path / "site", [str(told_bundle)], runtime)
            address = stack.enter_context(hosting(tmp_path / "site"))
        window.open(f"{address}#told?from=0")
        window.wait_for("#grid .ready", 24)
        window.click("#grid a")
        window.wait_for("#portrait:not(.waiting)")

        window.move("#edit-smiling", 1)
        window.wait("location.hash.includes('smiling=1')")
        window.click("#undo")
        window.wait("!location.hash.includes('smiling')")
        window.click("#tab-variations")
        window.wait_for("#ring .ready", 9)
        window.click("#tab-morph")
        window.wait_for("#candidates .ready", 12)
        window.click("#candidates button")
        window.wait("location.hash.includes('toward=')")
        window.click("#tab-mixing")
        window.click("#add-part")
        window.wait_for("#picker-dialog")
        window.click("#picker-random")
        window.wait_for("#parts .ready", 2)
        window.click("#favourite")
        window.click("a[href='#/yours']")
        window.wait_for("#favourites .ready")
        assert window.complaints == []
        window.open("about:blank")  # what follows is no longer of interest
