// Tables that sort by any column, with the mouse and with the keyboard; names are text, whatever they hold.

import { element, UNKNOWN } from "./format.js";

const FEW = 12; // rows before the rest is asked for

const missing = (value) => value === undefined || value === null || value === "";

export class Table {
  // columns: {key, title, show(value, row), number, order(row): what to sort by instead,
  // bar(row): 0..1, status(row): class, keep: stays on a phone}
  constructor(place, caption, columns, sorted, empty) {
    this.columns = columns;
    this.empty = empty;
    this.rows = undefined;
    this.sorted = sorted;
    this.note = element("p", { class: "dim" });
    this.body = element("tbody");
    this.heads = columns.map((column) => this.head(column));
    const head = element("thead", {}, element("tr", {}, ...this.heads));
    this.caption = element("caption", { class: "hidden" }, caption);
    this.table = element("table", {}, this.caption, head, this.body);
    const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption });
    box.append(this.table);
    this.box = box;
    this.more = element("button", { type: "button", class: "more", "aria-expanded": "false" });
    this.more.addEventListener("click", () => {
      this.whole = !this.whole;
      this.draw();
    });
    place.replaceChildren(box, this.more, this.note);
    this.mark();
    this.draw();
  }

  head(column) {
    const button = element("button", { type: "button", class: "sort" }, column.title, element("span", { class: "arrow", "aria-hidden": "true" }));
    button.addEventListener("click", () => {
      const [key, down] = this.sorted;
      this.sorted = [column.key, key === column.key ? !down : Boolean(column.number)];
      this.mark();
      this.draw();
    });
    return element("th", { scope: "col", class: this.look(column) }, button);
  }

  look(column) {
    return [column.number ? "number" : "", column.keep ? "" : "wide"].join(" ").trim();
  }

  mark() {
    this.columns.forEach((column, place) => {
      const [key, down] = this.sorted;
      const order = column.key === key ? (down ? "descending" : "ascending") : "none";
      this.heads[place].setAttribute("aria-sort", order);
    });
  }

  show(rows, note = "") {
    this.rows = rows;
    this.said = note;
    this.draw();
  }

  draw() {
    const rows = this.rows ?? [];
    this.note.textContent = rows.length ? (this.said ?? "") : this.said || this.empty;
    this.note.hidden = !this.note.textContent;
    this.box.hidden = rows.length === 0;
    const [key, down] = this.sorted;
    const sign = down ? -1 : 1;
    const order = this.columns.find((column) => column.key === key).order ?? ((row) => row[key]);
    const ordered = rows.map((row, place) => [row, place]).sort(([a, first], [b, second]) => {
      const [x, y] = [order(a), order(b)];
      if (missing(x) || missing(y)) return missing(x) - missing(y) || first - second; // what is not known comes last
      const by = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return by * sign || first - second;
    });
    const some = ordered.length > FEW && !this.whole ? ordered.slice(0, FEW) : ordered;
    this.more.hidden = ordered.length <= FEW;
    this.more.textContent = this.whole ? `Show ${FEW}` : `Show all ${ordered.length}`;
    this.more.setAttribute("aria-expanded", String(Boolean(this.whole)));
    this.body.replaceChildren(...some.map(([row]) => this.line(row)));
  }

  line(row) {
    const cells = this.columns.map((column, place) => {
      const value = row[column.key];
      const text = column.show ? column.show(value, row) : missing(value) ? UNKNOWN : String(value);
      const cell = element(place === 0 ? "th" : "td", { class: this.look(column), scope: place === 0 ? "row" : undefined });
      const status = column.status?.(row);
      cell.append(status ? element("span", { class: `badge ${status}` }, text) : text);
      const share = column.bar?.(row);
      if (share !== undefined) {
        const bar = element("span", { class: `bar ${share >= 0.9 ? "bad" : share >= 0.8 ? "warn" : ""}`, "aria-hidden": "true" });
        const part = element("span");
        part.style.width = `${Math.min(Math.max(share, 0), 1) * 100}%`;
        bar.append(part);
        cell.append(bar);
      }
      if (place === 0) cell.title = text;
      return cell;
    });
    return element("tr", {}, ...cells);
  }
}
