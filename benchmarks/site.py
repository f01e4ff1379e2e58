"""Times a site without a server in headless Chromium: the first face, a slider, another face. Counts what is fetched.

python -m face_generation.site
python benchmarks/site.py site
"""

import argparse
import os
import shutil
import statistics
import tempfile
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from playwright.sync_api import Page, sync_playwright

PEOPLE = 3  # each visits twice, the first time with an empty cache
TIMES = 10  # how often a slider is moved, and another face is opened, at each visit
STAY = 3000  # milliseconds; the browser needs some time to keep what it has compiled
TARGETS = {  # milliseconds, by number of threads
    "first face, first visit": {1: 3000},
    "first face, second visit": {2: 1000},
    "slider": {1: 200, 2: 120},
    "another face": {2: 500},
}
# Notes when the first portrait is on the screen, in milliseconds since the visit began. The page itself notes it,
# because Playwright takes 0.2 to 0.4 s to notice.
SHOWN = """addEventListener("DOMContentLoaded", () => {
  const portrait = document.getElementById("portrait");
  const look = () => {
    if (!portrait.getAttribute("src") || portrait.classList.contains("waiting")) return;
    requestAnimationFrame(() => (window.shownAt ??= performance.now()));
  };
  if (portrait) new MutationObserver(look).observe(portrait, { attributes: true });
})"""
# Milliseconds until a new portrait is on the screen.
CHANGED = """(action) => new Promise((resolve) => {
  const start = performance.now();
  const done = () => requestAnimationFrame(() => resolve(performance.now() - start));
  document.getElementById("portrait").addEventListener("load", done, { once: true });
  const slider = document.getElementById("edit-smiling");
  if (action === "slider") {
    slider.value = Number(slider.value) + 0.05;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  } else document.getElementById("another").click();
})"""


class Handler(SimpleHTTPRequestHandler):
    fetched: ClassVar[list[tuple[str, int]]] = []  # the folder and the bytes of each file

    def copyfile(self, source, outputfile) -> None:
        kind = self.path.lstrip("/").partition("/")[0] or "index.html"
        self.fetched.append((kind, os.fstat(source.fileno()).st_size))
        super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        pass


def first_face(page: Page, address: str) -> float:
    """Milliseconds from the page's opening to its first face."""
    page.goto(address)
    page.locator("#portrait:not(.waiting)").wait_for(timeout=120_000)
    return page.evaluate("shownAt")


def visit(page: Page, address: str, name: str, times: dict[tuple[str, int], list[float]]) -> None:
    """Opens the page and uses it. The browser lets it draw in threads from the second visit on."""
    milliseconds = first_face(page, address)
    threads = min(4, os.cpu_count() or 1) if page.evaluate("crossOriginIsolated") else 1
    times.setdefault((name, threads), []).append(milliseconds)
    for action in ("slider", "another face"):
        measured = [page.evaluate(CHANGED, action) for _ in range(TIMES)]
        times.setdefault((action, threads), []).extend(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder that face_generation.site has written")
    parser.add_argument("--bundle", default="vae", help="name of one of its bundles (default: vae)")
    arguments = parser.parse_args()
    times: dict[tuple[str, int], list[float]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(arguments.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        launch = partial(
            playwright.chromium.launch_persistent_context,
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu"],
        )
        address = f"http://127.0.0.1:{server.server_port}/#{arguments.bundle}/7"
        for _ in range(PEOPLE):
            with tempfile.TemporaryDirectory() as profile, launch(profile) as browser:
                page = browser.new_page()
                page.add_init_script(SHOWN)
                visit(page, address, "first face, first visit", times)
                page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
                page.wait_for_timeout(STAY)
                page.goto("about:blank")
                visit(page, address, "first face, second visit", times)
    server.shutdown()

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| ms | threads | median | most | target |\n| --- | ---: | ---: | ---: | ---: |")
    for (name, threads), values in times.items():
        target = TARGETS[name].get(threads, "")
        print(f"| {name} | {threads} | {statistics.median(values):.0f} | {max(values):.0f} | {target} |")
    print("\n| first visit | bytes |\n| --- | ---: |")
    fetched: Counter[str] = Counter()
    for kind, size in Handler.fetched:
        fetched[kind] += size
    for kind, size in fetched.items():
        print(f"| {kind} | {size // PEOPLE:,} |")


if __name__ == "__main__":
    main()
