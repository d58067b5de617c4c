"""Flame graphs in a real browser: zoom, search, keys, tooltips, and names that try to be code."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from bpfwright.facets.profile import Frame, Profile
from bpfwright.facets.profile.difference import write as difference

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), "")
# ./dev setup installs one, so that CI has it.
pytestmark = pytest.mark.skipif(not BROWSER and os.environ.get("CI") != "true", reason="no Chromium here")
NASTY = Frame("</title></text><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>")
SHELL, MAIN, WORK, REST = (Frame(name) for name in ("sh", "main", "work", "rest"))
TAKEN = Profile({(SHELL, MAIN): 10, (SHELL, MAIN, WORK): 60, (SHELL, MAIN, WORK, REST): 10, (SHELL, REST): 15,
                 (SHELL, NASTY): 5}, title="]]> <b>title</b>")
# Does what a person does, and writes what is seen into an attribute of the root.
ACTS = """
window.addEventListener("load", function () {
  const svg = document.querySelector("svg.bpfwright-flame"), seen = {};
  const box = function (name) {
    return Array.from(svg.querySelectorAll("g.f")).find(function (g) { return g.getAttribute("data-n") === name; });
  };
  const shown = function () {
    return Array.from(svg.querySelectorAll("g.f")).filter(function (g) { return g.style.display !== "none"; })
      .map(function (g) { return g.getAttribute("data-n"); });
  };
  const width = function (name) { return Math.round(Number(box(name).querySelector("rect").getAttribute("width"))); };
  const key = function (target, name, more) {
    target.dispatchEvent(new KeyboardEvent("keydown", Object.assign({key: name, bubbles: true}, more || {})));
  };
  const input = svg.querySelector("input");
  seen.ready = svg.getAttribute("data-ready");
  seen.all = shown().length;
  seen.before = width("work");
  box("work").querySelector("rect").dispatchEvent(new MouseEvent("click", {bubbles: true}));
  seen.zoomed = shown();
  seen.after = width("work");
  key(document.documentElement, "Escape");
  seen.back = [shown().length, width("work")];
  input.value = "rest";
  input.dispatchEvent(new Event("input", {bubbles: true}));
  seen.matched = svg.querySelector(".matched").textContent;
  seen.found = svg.querySelectorAll("g.f.found").length;
  input.value = "/^(work|main)$/";
  input.dispatchEvent(new Event("input", {bubbles: true}));
  seen.pattern = svg.querySelector(".matched").textContent;
  key(document.documentElement, "Escape");
  seen.cleared = svg.querySelectorAll("g.f.found").length;
  box("all").focus();
  key(document.activeElement, "ArrowUp");
  key(document.activeElement, "ArrowUp");
  seen.up = document.activeElement.getAttribute("data-n");
  key(document.activeElement, "ArrowRight");
  seen.right = document.activeElement.getAttribute("data-n");
  key(document.activeElement, "ArrowLeft");
  key(document.activeElement, "Enter");
  seen.entered = svg.getAttribute("data-zoomed");
  key(document.activeElement, "/");
  seen.searching = document.activeElement === input;
  box("work").dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
  seen.detail = svg.querySelector(".detail").textContent;
  seen.tooltip = box("work").querySelector("title").textContent;
  seen.broken = window.broken === 1;
  seen.scripts = document.querySelectorAll("script").length;
  seen.images = document.querySelectorAll("img").length;
  seen.asked = performance.getEntriesByType("resource").map(function (entry) { return entry.name; });
  document.documentElement.setAttribute("data-seen", JSON.stringify(seen));
});
"""


def browse(path: Path, folder: Path) -> dict[str, object]:
    """Open a page with the acts in it; what was seen."""
    done = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
                           f"--user-data-dir={folder / 'browser'}", "--dump-dom", path.as_uri()],
                          capture_output=True, text=True, timeout=60, check=True)
    found = re.search('data-seen="([^"]*)"', done.stdout)
    assert found, done.stdout[:2000] + done.stderr[-2000:]
    seen: dict[str, object] = json.loads(unescape(found[1]))
    return seen


def acting(text: str, end: str) -> str:
    body = f"<script><![CDATA[{ACTS}]]></script>" if end == "</svg>" else f"<script>{ACTS}</script>"
    head, mark, tail = text.rpartition(end)
    return head + body + mark + tail


@pytest.mark.parametrize("format", ["html", "flamegraph"])
def test_what_a_person_can_do(tmp_path: Path, format: str) -> None:
    end, name = ("</body>", "flame.html") if format == "html" else ("</svg>", "flame.svg")
    path = tmp_path / name
    path.write_text(acting(str(TAKEN.text(format)), end))
    seen = browse(path, tmp_path)
    assert seen["ready"] == "yes" and seen["all"] == 7
    assert seen["before"] == round(0.7 * 1200 - 0.4) and seen["after"] == 1200
    assert sorted(seen["zoomed"]) == ["all", "main", "rest", "sh", "work"]  # type: ignore[call-overload]
    assert seen["back"] == [7, seen["before"]]
    assert seen["matched"] == "matched: 25.00 %" and seen["found"] == 2
    assert seen["pattern"] == "matched: 80.00 %" and seen["cleared"] == 0
    assert (seen["up"], seen["right"], seen["entered"], seen["searching"]) == ("main", "rest", "main", True)
    assert seen["detail"] == seen["tooltip"] == "work: 70 samples (70.00 %)"
    assert seen["broken"] is False and seen["images"] == 0 and seen["scripts"] == 2
    assert seen["asked"] == []


def test_a_difference(tmp_path: Path) -> None:
    before = Profile({(SHELL, MAIN, WORK): 10, (SHELL, MAIN): 80, (SHELL, REST): 10})
    path = tmp_path / "diff.html"
    path.write_text(acting(difference(before, TAKEN, "html"), "</body>"))
    seen = browse(path, tmp_path)
    assert seen["tooltip"] == "work: 70 samples (70.00 %, +60.00 % of all)" and seen["broken"] is False
