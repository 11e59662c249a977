// Numbers, times and elements. Everything that comes from the machine becomes text, never markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

export function drawn(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export const UNKNOWN = "–";

const known = (format) => (value) => (value === undefined || value === null || Number.isNaN(value) ? UNKNOWN : format(value));

const digits = (value) => (value >= 100 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

function scaled(value, base, units) {
  let unit = 0;
  while (Math.abs(value) >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : digits(value)} ${units[unit]}`;
}

export const percent = known((value) => `${(value * 100).toFixed(value < 0.0995 ? 1 : 0)} %`);
export const bytes = known((value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]));
export const rate = known((value) => scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]));
export const cores = known((value) => (value < 0.0005 ? "0" : value.toFixed(value < 0.1 ? 3 : 2)));
export const plain = known((value) => (Number.isInteger(value) ? value.toLocaleString("en") : digits(value)));

export const duration = known((value) => {
  if (value === 0) return "0";
  if (value < 0.001) return `${digits(value * 1e6)} µs`;
  if (value < 1) return `${digits(value * 1e3)} ms`;
  return value < 90 ? `${digits(value)} s` : span(value);
});

export const span = known((value) => {
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => value >= size);
  if (first < 0) return "0 s";
  const [unit, size] = parts[first];
  const count = Math.floor(value / size);
  const next = parts[first + 1];
  const rest = next && first < 2 ? Math.floor((value - count * size) / next[1]) : 0;
  return rest ? `${count} ${unit} ${rest} ${next[0]}` : `${count} ${unit}`;
});

const two = (value) => String(value).padStart(2, "0");

export function clock(seconds, withSeconds = true) {
  const date = new Date(seconds * 1000);
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${text}:${two(date.getSeconds())}` : text;
}

export function ago(seconds, now) {
  return seconds === undefined ? UNKNOWN : `${span(Math.max(now - seconds, 0))} ago`;
}
