"""Times a site without a server in headless Chromium: the first face, a slider, another face; and what is fetched.

python -m face_generation.site
python benchmarks/site.py site
"""

import argparse
import os
import shutil
import statistics
import threading
import time
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from playwright.sync_api import BrowserContext, Page, sync_playwright

TIMES = 20  # that a slider is moved, and another face is opened
TARGETS = {"first face, first visit": 3000, "first face, second visit": 1000, "slider": 200, "another face": 500}  # ms
# Milliseconds until the portrait is another one, and seen.
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
    fetched: ClassVar[Counter[str]] = Counter()  # bytes, by the folder that they are in

    def copyfile(self, source, outputfile) -> None:
        kind = self.path.lstrip("/").partition("/")[0] or "page"
        self.fetched[kind] += os.fstat(source.fileno()).st_size
        super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        pass


def first_face(context: BrowserContext, address: str) -> tuple[Page, float]:
    """The page, and milliseconds from its opening to its first face."""
    page = context.new_page()
    start = time.perf_counter()
    page.goto(address)
    page.locator("#portrait:not(.waiting)").wait_for(timeout=120_000)
    return page, 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder that face_generation.site has written")
    parser.add_argument("--bundle", default="vae", help="name of one of its bundles (default: vae)")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(arguments.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        address = f"http://127.0.0.1:{server.server_port}/#{arguments.bundle}/7"
        page, cold = first_face(context, address)
        times["first face, first visit"] = [cold]
        threads = {"1 thread": page}
        page.evaluate("navigator.serviceWorker.ready")
        fetched = dict(Handler.fetched)
        page, warm = first_face(context, address)
        times["first face, second visit"] = [warm]
        threads[f"threads, isolated: {page.evaluate('crossOriginIsolated')}"] = page
        for name, page in threads.items():
            page.bring_to_front()
            for action in ("slider", "another face"):
                times[f"{action}, {name}"] = [page.evaluate(CHANGED, action) for _ in range(TIMES)]
        browser.close()
    server.shutdown()

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; targets in ms: {TARGETS}")
    print(f"{'':40}{'median ms':>11}{'best ms':>10}")
    for name, values in times.items():
        print(f"{name:40}{statistics.median(values):11.0f}{min(values):10.0f}")
    print(f"\n{'first visit':40}{'bytes':>14}")
    for kind, size in fetched.items():
        print(f"{kind:40}{size:14,}")


if __name__ == "__main__":
    main()
