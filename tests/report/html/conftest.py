"""Chromium without a window, driven by the DevTools protocol over a pair of pipes: no port, no driver, no package."""

from __future__ import annotations

import json
import os
import shutil
import signal
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_S = 60.0
Message = dict[str, Any]


class Browser:
    """One Chromium with one page."""

    def __init__(self, path: str, profile: Path) -> None:
        from fcntl import F_DUPFD_CLOEXEC, fcntl  # not on every system that tests run on

        theirs, self.out = os.pipe()
        self.into, answers = os.pipe()
        spare = [
            fcntl(end, F_DUPFD_CLOEXEC, 10) for end in (theirs, answers)
        ]  # they must not be the 3 and 4 that they become
        files = [(os.POSIX_SPAWN_DUP2, end, place) for end, place in zip(spare, (3, 4), strict=True)]
        log = os.open(profile / "log", os.O_WRONLY | os.O_CREAT)
        files += [(os.POSIX_SPAWN_DUP2, log, place) for place in (1, 2)]
        arguments = [path, *FLAGS, f"--user-data-dir={profile / 'profile'}", "about:blank"]
        self.process = os.posix_spawn(path, arguments, os.environ, file_actions=files, setpgroup=0)
        for end in (theirs, answers, *spare, log):
            os.close(end)
        self.buffer = b""
        self.sent = 0
        self.events: list[Message] = []
        self.attached: str | None = None
        pages = self.call("Target.getTargets")["targetInfos"]
        page = next(item["targetId"] for item in pages if item["type"] == "page")
        self.attached = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Message:
        """The answer to a command; what happens meanwhile is kept in `events`."""
        self.sent += 1
        told = {"id": self.sent, "method": method, "params": parameters}
        if self.attached is not None:
            told["sessionId"] = self.attached
        os.write(self.out, json.dumps(told).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self.sent:
                assert "error" not in message, f"{method}: {message['error']}"
                result: Message = message["result"]
                return result
            self.events.append(message)

    def _next(self) -> Message:
        while b"\0" not in self.buffer:
            ready, _, _ = select([self.into], [], [], PATIENCE_S)
            found = os.read(self.into, 1 << 20) if ready else b""
            assert found, "Chromium does not answer"
            self.buffer += found
        text, _, self.buffer = self.buffer.partition(b"\0")
        message: Message = json.loads(text)
        return message

    def open(self, page: Path, *, width: int = 1200, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Show a file at a size, light or dark, and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """What an expression is in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """One key, down and up."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def point(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the pointer, and click."""
        for kind in ("mouseMoved", *(("mousePressed", "mouseReleased") if click else ())):
            button = "none" if kind == "mouseMoved" else "left"
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=int(kind != "mouseMoved")
            )

    def tap(self, x: float, y: float) -> None:
        """Touch with a finger."""
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.call("Input.synthesizeTapGesture", x=round(x), y=round(y), gestureSourceType="touch")
        self.call("Emulation.setTouchEmulationEnabled", enabled=False)

    def complaints(self) -> list[str]:
        """What the console says: errors, warnings, refused loads, exceptions."""
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]

    def requests(self) -> list[str]:
        """Every address that the page asked for."""
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [str(event["params"]["request"]["url"]) for event in sent]

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the `whole` page."""
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def printed(self) -> bytes:
        """The page as a PDF."""
        return b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def close(self) -> None:
        """End it."""
        os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.out)
        os.close(self.into)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests of a process; they are skipped where there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium is installed here (looked for {', '.join(NAMES)})")
    started = Browser(path, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Path]:
    """A page's text as a file."""

    def write(text: str) -> Path:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        return path

    return write
