// Zoom, search and keys of a flame graph. Plain script: it runs inside of an SVG and of a page.
(function () {
  "use strict";
  const script = document.currentScript;
  const svg = script ? script.closest("svg") : document.querySelector("svg.bpfwright-flame");
  const WIDTH = 1200, LETTER = 7.25;
  const total = Number(svg.dataset ? svg.dataset.total : svg.getAttribute("data-total"));
  const input = svg.querySelector("input");
  const detail = svg.querySelector(".detail"), matched = svg.querySelector(".matched");
  const said = detail.textContent;
  const boxes = Array.from(svg.querySelectorAll("g.f")).map(function (g) {
    return {
      g: g, left: Number(g.getAttribute("data-x")), weight: Number(g.getAttribute("data-w")),
      depth: Number(g.getAttribute("data-d")), name: g.getAttribute("data-n"),
      rect: g.querySelector("rect"), text: g.querySelector("text"), title: g.querySelector("title").textContent,
    };
  });
  const root = boxes[0];
  const of = new Map(boxes.map(function (box) { return [box.g, box]; }));
  let shown = root;

  function zoom(to) {
    shown = to;
    for (const box of boxes) {
      const above = box.depth < to.depth;
      const visible = box.left + box.weight > to.left && box.left < to.left + to.weight &&
        (!above || (box.left <= to.left && box.left + box.weight >= to.left + to.weight));
      box.g.style.display = visible ? "" : "none";
      box.g.classList.toggle("above", above);
      if (!visible) continue;
      const left = above ? 0 : (box.left - to.left) * WIDTH / to.weight;
      const width = above ? WIDTH : box.weight * WIDTH / to.weight;
      box.rect.setAttribute("x", left);
      box.rect.setAttribute("width", Math.max(width - 0.4, 0.2));
      box.text.setAttribute("x", left + 3);
      const room = Math.floor((width - 6) / LETTER);
      box.text.textContent = width < 18 ? "" :
        box.name.length <= room ? box.name : box.name.slice(0, Math.max(0, room - 1)) + "\u2026";
    }
    svg.setAttribute("data-zoomed", to.name);
  }

  function pattern(text) {
    const found = /^\/(.*)\/$/.exec(text);
    try {
      return found ? new RegExp(found[1]) : null;
    } catch (problem) {
      return null;
    }
  }

  function search(text) {
    const re = pattern(text);
    const spans = [];
    for (const box of boxes) {
      const hit = text !== "" && box !== root && (re ? re.test(box.name) : box.name.includes(text));
      box.g.classList.toggle("found", hit);
      if (hit) spans.push([box.left, box.left + box.weight]);
    }
    // What lies in another match is counted once.
    spans.sort(function (a, b) { return a[0] - b[0] || b[1] - a[1]; });
    let covered = 0, end = 0;
    for (const span of spans) {
      if (span[1] > end) {
        covered += span[1] - Math.max(span[0], end);
        end = span[1];
      }
    }
    matched.textContent = text === "" ? "" : "matched: " + (100 * covered / total).toFixed(2) + " %";
    svg.setAttribute("data-matched", spans.length);
  }

  function focus(box) {
    if (box) box.g.focus();
  }

  function inside(a, b) {
    return a.left >= b.left && a.left + a.weight <= b.left + b.weight;
  }

  function move(box, key) {
    const seen = boxes.filter(function (b) { return b.g.style.display !== "none"; });
    if (key === "ArrowUp") {
      return seen.filter(function (b) { return b.depth === box.depth + 1 && inside(b, box); })
        .sort(function (a, b) { return b.weight - a.weight; })[0];
    }
    if (key === "ArrowDown") return seen.find(function (b) { return b.depth === box.depth - 1 && inside(box, b); });
    const row = seen.filter(function (b) { return b.depth === box.depth; })
      .sort(function (a, b) { return a.left - b.left; });
    return row[row.indexOf(box) + (key === "ArrowRight" ? 1 : -1)];
  }

  svg.addEventListener("click", function (event) {
    const g = event.target.closest && event.target.closest("g.f");
    if (g) zoom(of.get(g));
  });
  svg.addEventListener("mouseover", function (event) {
    const g = event.target.closest && event.target.closest("g.f");
    detail.textContent = g ? of.get(g).title : said;
  });
  svg.addEventListener("focusin", function (event) {
    const box = of.get(event.target);
    if (box) detail.textContent = box.title;
  });
  input.addEventListener("input", function () { search(input.value); });
  document.addEventListener("keydown", function (event) {
    if ((event.key === "/" || (event.key === "f" && event.ctrlKey)) && event.target !== input) {
      event.preventDefault();
      input.focus();
      return;
    }
    if (event.key === "Escape") {
      input.value = "";
      search("");
      zoom(root);
      focus(root);
      return;
    }
    const box = of.get(event.target);
    if (!box) return;
    if (event.key === "Enter") zoom(box);
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      focus(move(box, event.key));
    }
  });
  zoom(root);
  svg.setAttribute("data-ready", "yes");
})();
