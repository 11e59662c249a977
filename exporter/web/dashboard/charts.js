// One graph of the last hour as SVG: lines, a cursor that all graphs share, values at the cursor.

import { clock, drawn, element, UNKNOWN } from "./format.js";

export const HOUR = 3600;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 10, 8, 22];
const HEIGHT = 190;
const SHOWN = 8; // lines with a legend; more would be a wall of colours

export class Chart {
  // options: {title, wanted(series): name or undefined, show(value), most: fixed upper end, least: smallest upper end, extra}
  constructor(place, options, page) {
    Object.assign(this, options);
    this.page = page;
    this.lines = [];
    this.svg = drawn("svg", { role: "img", class: "graph", height: HEIGHT });
    this.layer = drawn("g");
    this.cursor = drawn("g", { class: "cursor" });
    this.svg.append(this.layer, this.cursor);
    this.tip = element("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.legend = element("ul", { class: "legend" });
    this.nothing = element("p", { class: "dim nothing" }, this.empty ?? "nothing yet");
    const box = element("div", { class: "plot" });
    box.append(this.svg, this.tip);
    this.box = box;
    this.card = element("section", { class: "card chart", "aria-label": this.title }, element("h2", {}, this.title), box, this.nothing, this.legend);
    place.append(this.card);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(box);
  }

  listen() {
    const at = (event) => {
      const { left } = this.svg.getBoundingClientRect();
      const share = (event.clientX - left - LEFT) / (this.width - LEFT - RIGHT);
      return this.page.end - HOUR + Math.min(Math.max(share, 0), 1) * HOUR;
    };
    this.svg.addEventListener("pointermove", (event) => this.page.hover(at(event), this));
    this.svg.addEventListener("pointerleave", () => this.page.hover(undefined, undefined));
    this.svg.addEventListener("click", (event) => this.page.pick(at(event)));
  }

  take(all) {
    const lines = [];
    for (const series of all) {
      const name = this.wanted(series);
      if (name !== undefined) lines.push({ name, points: series.points, series, main: this.main?.(series) });
    }
    lines.sort((a, b) => (b.main ? 1 : 0) - (a.main ? 1 : 0) || a.name.localeCompare(b.name, "en", { numeric: true }));
    this.more = Math.max(lines.length - SHOWN, 0);
    this.lines = this.more ? busiest(lines) : lines;
    this.draw();
  }

  get upper() {
    if (this.most) return this.most;
    let top = 0;
    for (const line of this.lines) for (const [, value] of line.points) if (value > top) top = value;
    return nice(Math.max(top * 1.05, this.least ?? 0));
  }

  draw() {
    const has = this.lines.some((line) => line.points.length);
    this.nothing.hidden = has;
    this.box.hidden = this.legend.hidden = !has;
    this.width = this.box.clientWidth;
    if (!has || !this.width) return;
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.top = this.upper;
    this.layer.replaceChildren(...this.grid(), ...this.lines.flatMap((line, place) => this.path(line, place)).reverse());
    this.point();
    this.describe();
  }

  x(time) {
    return LEFT + ((time - (this.page.end - HOUR)) / HOUR) * (this.width - LEFT - RIGHT);
  }

  y(value) {
    return TOP + (1 - Math.min(value / this.top, 1)) * (HEIGHT - TOP - BOTTOM);
  }

  grid() {
    const out = [];
    for (let part = 0; part <= 4; part += 1) {
      const value = (this.top * part) / 4;
      const y = this.y(value);
      out.push(drawn("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }));
      out.push(label(short(this.show(value)), LEFT - 8, y + 4, "end"));
    }
    const every = this.width < 420 ? 1200 : 600;
    const start = this.page.end - HOUR;
    const zone = new Date(this.page.end * 1000).getTimezoneOffset() * 60;
    for (let time = Math.ceil((start - zone) / every) * every + zone; time <= this.page.end; time += every) {
      const x = this.x(time);
      if (x > LEFT + 14 && x < this.width - RIGHT - 14) out.push(label(clock(time, false), x, HEIGHT - 6, "middle"));
      out.push(drawn("line", { class: "grid faint", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    return out;
  }

  path(line, place) {
    const start = this.page.end - HOUR;
    let text = "";
    let before;
    let first;
    const areas = [];
    const gap = this.page.gap;
    for (const [time, value] of line.points) {
      if (time < start) continue;
      const here = `${this.x(time).toFixed(1)} ${this.y(value).toFixed(1)}`;
      if (before === undefined || time - before > gap) {
        if (first !== undefined) areas.push([first, before]);
        first = time;
        text += `M${here}h0.01`; // a point alone is a dot
      } else text += `L${here}`;
      before = time;
    }
    const out = [drawn("path", { class: `line s${place % SHOWN}${line.main ? " main" : ""}`, d: text })];
    if (line.main && first !== undefined) {
      const floor = this.y(0).toFixed(1);
      areas.push([first, before]);
      const parts = text.split("M").slice(1);
      const d = parts.map((part, at) => `M${part}L${this.x(areas[at][1]).toFixed(1)} ${floor}L${this.x(areas[at][0]).toFixed(1)} ${floor}Z`).join("");
      out.push(drawn("path", { class: "area", d }));
    }
    return out;
  }

  point() {
    const { at, over, picked } = this.page;
    const parts = [];
    if (picked !== undefined) parts.push(this.mark(picked, "picked"));
    if (at !== undefined) parts.push(this.mark(at, "hover"));
    const time = at ?? picked;
    const values = this.lines.map((line) => nearest(line.points, time, this.page.gap));
    values.forEach((found, place) => {
      if (found && time !== undefined) {
        parts.push(drawn("circle", { class: `dot s${place % SHOWN}`, r: 3, cx: this.x(found[0]), cy: this.y(found[1]) }));
      }
    });
    this.cursor.replaceChildren(...parts);
    this.tell(values);
    this.float(time, values, over === this && at !== undefined);
  }

  mark(time, look) {
    const x = this.x(time);
    return drawn("line", { class: look, x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
  }

  tell(values) {
    const items = this.lines.map((line, place) => {
      const swatch = element("span", { class: `swatch s${place % SHOWN}`, "aria-hidden": "true" });
      const text = values[place] ? this.show(values[place][1]) : UNKNOWN;
      return element("li", {}, swatch, element("span", { class: "key", title: line.name }, line.name), element("b", {}, text), this.extra?.(line.series));
    });
    if (this.more) items.push(element("li", { class: "dim" }, `and ${this.more} more`));
    this.legend.replaceChildren(...items);
  }

  float(time, values, here) {
    this.tip.hidden = !here;
    if (!here) return;
    const rows = this.lines.map((line, place) => {
      const swatch = element("span", { class: `swatch s${place % SHOWN}` });
      return element("div", {}, swatch, element("span", { class: "key" }, line.name), element("b", {}, values[place] ? this.show(values[place][1]) : UNKNOWN));
    });
    this.tip.replaceChildren(element("div", { class: "time" }, clock(time)), ...rows);
    const x = this.x(time);
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${x + 14 + wide > this.width ? Math.max(x - wide - 14, 0) : x + 14}px`;
  }

  describe() {
    const told = this.lines.slice(0, SHOWN).map((line) => {
      const values = line.points.map(([, value]) => value);
      if (!values.length) return `${line.name}: nothing`;
      const [low, high] = [Math.min(...values), Math.max(...values)].map(this.show);
      return `${line.name}: now ${this.show(values[values.length - 1])}, least ${low}, most ${high}`;
    });
    this.svg.setAttribute("aria-label", `${this.title}, the last hour. ${told.join("; ")}.`);
  }
}

// what a scale needs not tell: 80.0 MB/s is 80 MB/s
const short = (text) => text.replace(/(\.\d*?)0+(?= )/, "$1").replace(/\.(?= )/, "");

function label(text, x, y, anchor) {
  const made = drawn("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

// the main lines, and of the others those that moved most in the hour
function busiest(lines) {
  const weight = (line) => line.points.reduce((sum, [, value]) => sum + value, 0);
  const kept = new Set(lines.filter((line) => line.main));
  for (const line of lines.filter((one) => !one.main).sort((a, b) => weight(b) - weight(a))) {
    if (kept.size < SHOWN) kept.add(line);
  }
  return lines.filter((line) => kept.has(line));
}

export function nearest(points, time, gap) {
  if (time === undefined) return points[points.length - 1];
  let [low, high] = [0, points.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < time) low = middle + 1;
    else high = middle;
  }
  const near = [points[low - 1], points[low]].filter(Boolean).sort((a, b) => Math.abs(a[0] - time) - Math.abs(b[0] - time))[0];
  return near && Math.abs(near[0] - time) <= gap ? near : undefined;
}

export function nice(value) {
  if (!(value > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * size).find((step) => step >= value);
}

export class Gauge {
  constructor(place, title) {
    this.title = title;
    const size = { cx: 44, cy: 44, r: 36, pathLength: 100 };
    this.ring = drawn("circle", { ...size, class: "ring" });
    const svg = drawn("svg", { viewBox: "0 0 88 88", "aria-hidden": "true" });
    svg.append(drawn("circle", { ...size, class: "track" }), this.ring);
    this.text = element("span", { class: "big" }, UNKNOWN);
    this.under = element("span", { class: "dim" });
    this.box = element("div", { class: "gauge", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": title });
    const words = element("div", { class: "words" }, element("span", { class: "what" }, title), this.text, this.under);
    this.box.append(svg, words);
    place.append(this.box);
  }

  show(share, text, under = "", limits = [0.8, 0.9]) {
    this.box.hidden = share === undefined;
    if (share === undefined) return;
    const part = Math.min(Math.max(share, 0), 1);
    this.ring.setAttribute("stroke-dasharray", `${part * 100} 200`);
    this.ring.setAttribute("class", `ring ${part >= limits[1] ? "bad" : part >= limits[0] ? "warn" : ""}`);
    this.text.textContent = text;
    this.under.textContent = this.under.title = under;
    this.box.setAttribute("aria-valuenow", Math.round(part * 100));
    this.box.setAttribute("aria-valuetext", [text, under].filter(Boolean).join(", "));
  }
}
