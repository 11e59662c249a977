// The page: one answer with the last hour, then one stream of updates; a moment can be picked.

import { Chart, Gauge, HOUR, nearest } from "./charts.js";
import { ago, bytes, clock, cores, duration, element, percent, plain, rate, span, UNKNOWN } from "./format.js";
import { Table } from "./tables.js";

const place = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.end = Date.now() / 1000;
    this.skew = 0;
    this.interval = 5;
    this.step = 10; // of the past hour; the server makes it as long as the number of series wants it
    this.missing = "";
    this.series = new Map();
    this.at = this.picked = this.over = undefined;
    this.asked = 0;
    this.gauges = this.makeGauges();
    this.charts = this.makeCharts();
    this.tables = this.makeTables();
    this.listen();
    theme();
    this.open();
  }

  get gap() {
    return 2.5 * Math.max(this.step, this.interval);
  }

  // -- what there is to see

  makeGauges() {
    const box = place("gauges");
    const titles = {
      cpu: "CPU", memory: "Memory", swap: "Swap", disk: "Fullest disk", load: "Load per core",
      cpuPressure: "CPU pressure", memoryPressure: "Memory pressure", ioPressure: "I/O pressure",
    };
    return Object.fromEntries(Object.entries(titles).map(([key, title]) => [key, new Gauge(box, title)]));
  }

  makeCharts() {
    const is = (names) => (series) => names[series.name]?.(series.labels);
    const options = [
      {
        title: "CPU", show: percent, most: 1, main: (series) => series.name === "cpu_usage_ratio",
        wanted: is({ cpu_usage_ratio: () => "all cores", core_usage_ratio: (labels) => `core ${labels.core}` }),
      },
      {
        title: "Memory", show: percent, most: 1, main: (series) => series.name === "memory_usage_ratio",
        wanted: is({ memory_usage_ratio: () => "memory", swap_usage_ratio: () => "swap" }),
      },
      {
        title: "Network", show: rate, least: 1000,
        wanted: is({ receive_bytes_per_second: (labels) => `${labels.interface} in`, transmit_bytes_per_second: (labels) => `${labels.interface} out` }),
        empty: "No interface has moved anything yet.",
      },
      {
        title: "Disk I/O", show: rate, least: 1000,
        wanted: is({ read_bytes_per_second: (labels) => `${labels.disk} read`, written_bytes_per_second: (labels) => `${labels.disk} written` }),
        empty: "No disk has moved anything yet.",
      },
      {
        title: "Disk space", show: percent, most: 1,
        wanted: is({ filesystem_usage_ratio: (labels) => labels.mountpoint }),
      },
      {
        title: "Latency", show: duration, least: 0.001, extra: (series) => this.loss(series),
        wanted: is({ latency_seconds: (labels) => labels.target }),
        empty: "No host is pinged; probes.ping.targets in the settings names some.",
      },
    ];
    return options.map((one) => new Chart(place("charts"), one, this));
  }

  loss(series) {
    const points = this.series.get(id("loss_ratio", series.labels))?.points ?? [];
    const found = nearest(points, this.at ?? this.picked, this.gap);
    if (!found || !found[1]) return undefined;
    return element("span", { class: "badge bad" }, `${percent(found[1])} lost`);
  }

  makeTables() {
    const name = (key, title) => ({ key, title, keep: true });
    const number = (key, title, show, more = {}) => ({ key, title, show, number: true, ...more });
    const processes = [
      name("name", "Name"),
      number("cpu_cores", "CPU cores", cores, { keep: true }),
      number("resident_bytes", "Memory", bytes, { keep: true }),
      number("processes", "Processes", plain),
      number("read_bytes_per_second", "Read", rate),
      number("written_bytes_per_second", "Written", rate),
    ];
    const containers = [
      name("name", "Name"),
      { key: "state", title: "State", keep: true, status: stateLook, order: trouble, show: (value, row) => stateText(row) },
      { key: "image", title: "Image", show: (value, row) => (row.version ? `${value}:${row.version}` : value) },
      number("cpu_cores", "CPU cores", cores),
      number("memory_bytes", "Memory", bytes, { keep: true }),
      number("restarts_total", "Restarts", plain),
      number("since", "Since", (value) => ago(value, this.now)),
    ];
    const services = [
      name("check", "Check"),
      { key: "kind", title: "Kind" },
      { key: "status", title: "Status", keep: true, status: (row) => ({ up: "good", down: "bad" })[row.status] ?? "" },
      number("duration_seconds", "Took", duration, { keep: true }),
      { key: "failure", title: "Why" },
      number("certificate_expiry_timestamp_seconds", "Certificate", (value) => (value === undefined ? UNKNOWN : `${span(value - this.now)} left`)),
      number("last_attempt_timestamp_seconds", "Asked", (value) => ago(value, this.now)),
    ];
    const filesystems = [
      name("mountpoint", "Mounted at"),
      number("usage_ratio", "Used", percent, { keep: true, bar: (row) => row.usage_ratio }),
      number("available_bytes", "Free", bytes, { keep: true }),
      number("size_bytes", "Size", bytes),
      number("inodes_used", "Inodes", percent),
      { key: "device", title: "Device" },
      { key: "fstype", title: "Type", show: (value, row) => (row.read_only ? `${value}, read-only` : value) },
    ];
    const interfaces = [
      name("interface", "Interface"),
      number("receive_bytes_per_second", "In", rate, { keep: true }),
      number("transmit_bytes_per_second", "Out", rate, { keep: true }),
      number("errors", "Errors", plain),
      number("drops", "Drops", plain),
      { key: "link", title: "Link", status: (row) => (row.link === "up" ? "good" : "") },
    ];
    return {
      processes: new Table(place("processes"), "Processes, by name", processes, ["cpu_cores", true], "waiting for the second look at the processes"),
      containers: new Table(place("containers"), "Containers", containers, ["state", false], "no containers here, or no right to ask the engine"),
      services: new Table(place("services"), "Services", services, ["status", false], "nothing is checked; probes.http and its like in the settings name services"),
      filesystems: new Table(place("filesystems"), "File systems", filesystems, ["usage_ratio", true], "no file system is known"),
      interfaces: new Table(place("interfaces"), "Network interfaces", interfaces, ["receive_bytes_per_second", true], "no interface is known"),
    };
  }

  get now() {
    return Date.now() / 1000 + this.skew;
  }

  // -- data

  open() {
    this.source?.close();
    this.source = new EventSource("api/v1/stream");
    this.source.addEventListener("open", () => this.load());
    this.source.addEventListener("update", (event) => this.update(JSON.parse(event.data)));
    this.source.addEventListener("error", () => {
      this.state("bad", "reconnecting");
      if (this.source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      clearTimeout(this.again);
      this.again = setTimeout(() => document.hidden || this.open(), 5000 + Math.random() * 5000);
    });
  }

  // the past hour, in parts where there are more series than one answer holds
  async load() {
    let step = 0;
    this.missing = "";
    try {
      for (let skip = 0; skip !== undefined; ) {
        const answer = await fetch(`api/v1/history?skip=${skip}`);
        if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error?.message ?? `status ${answer.status}`);
        const told = await answer.json();
        this.step = step = Math.max(step, told.step_seconds);
        for (const one of told.series) this.precede(one, told.step_seconds);
        this.redraw();
        skip = told.next_skip;
      }
    } catch (error) {
      this.missing = `The past hour, or a part of it, could not be read: ${error.message}`;
    }
  }

  // put the past before what the stream has told since
  precede(one, step) {
    const known = this.series.get(id(one.name, one.labels));
    const last = one.points[one.points.length - 1][0];
    const newer = (known?.points ?? []).filter(([time]) => time > last + step);
    this.series.set(id(one.name, one.labels), { ...one, points: one.points.concat(newer) });
  }

  update(told) {
    this.skew = told.now_timestamp_seconds - Date.now() / 1000;
    this.interval = told.interval_seconds;
    this.end = told.now_timestamp_seconds;
    if (told.sample) this.append(told.sample);
    this.state("good", "live");
    this.told = told;
    this.head(told);
    this.showGauges(told);
    this.showAlerts(told.alerts);
    this.showTables(told);
    this.redraw();
    const note = place("note");
    note.textContent = told.is_sampled ? this.missing : "No history is kept: collectors.usage.enabled is false in the settings. Graphs stay empty.";
    note.hidden = !note.textContent;
  }

  append(sample) {
    const oldest = this.end - HOUR - 60;
    for (const { name, labels, value } of sample.values) {
      const key = id(name, labels);
      if (!this.series.has(key)) this.series.set(key, { name, labels, points: [] });
      const { points } = this.series.get(key);
      const last = points[points.length - 1];
      if (!last || sample.timestamp_seconds > last[0]) points.push([sample.timestamp_seconds, value]);
      while (points.length && points[0][0] < oldest) points.shift();
    }
    for (const [key, { points }] of this.series) if (!points.length || points[points.length - 1][0] < oldest) this.series.delete(key);
  }

  redraw() {
    const all = [...this.series.values()];
    for (const chart of this.charts) chart.take(all);
    this.slide();
  }

  state(look, text) {
    const pill = place("state");
    if (pill.textContent !== text) pill.textContent = text;
    pill.className = `pill ${look}`;
  }

  head({ machine, version }) {
    const name = machine.name ?? "this machine";
    place("name").textContent = name;
    document.title = `${name} – hostwatch`;
    const up = machine.boot_timestamp_seconds && `up ${span(this.now - machine.boot_timestamp_seconds)}`;
    place("about").textContent = [machine.system, machine.kernel, up].filter(Boolean).join(" · ");
    place("version").textContent = `hostwatch ${version}`;
  }

  // -- now

  showGauges({ cpu, memory, disks, now_timestamp_seconds: now }) {
    const used = memory.total_bytes && memory.available_bytes !== undefined
      ? `${bytes(memory.total_bytes - memory.available_bytes)} of ${bytes(memory.total_bytes)}` : "";
    const swap = memory.swap_total_bytes ? `${bytes(memory.swap_total_bytes - memory.swap_free_bytes)} of ${bytes(memory.swap_total_bytes)}` : "";
    const count = cpu.cores?.length;
    this.gauges.cpu.show(cpu.usage_ratio, percent(cpu.usage_ratio), count ? `${count} ${count === 1 ? "core" : "cores"}, last 15 s` : "");
    this.gauges.memory.show(memory.usage_ratio, percent(memory.usage_ratio), used);
    this.gauges.swap.show(memory.swap_usage_ratio, percent(memory.swap_usage_ratio), swap);
    const fullest = (disks.filesystems ?? []).filter((one) => one.usage_ratio !== undefined).sort((a, b) => b.usage_ratio - a.usage_ratio)[0];
    this.gauges.disk.show(fullest?.usage_ratio, percent(fullest?.usage_ratio), fullest ? `${fullest.mountpoint}, ${bytes(fullest.available_bytes)} free` : "");
    const load = cpu.load_1_minute;
    const three = [load, cpu.load_5_minutes, cpu.load_15_minutes].map((one) => one?.toFixed(2) ?? UNKNOWN).join(" ");
    this.gauges.load.show(load === undefined || !count ? undefined : load / count, count && load !== undefined ? (load / count).toFixed(2) : UNKNOWN, three, [1, 2]);
    const pressures = { cpuPressure: cpu.pressure, memoryPressure: memory.pressure, ioPressure: disks.pressure };
    for (const [key, pressure] of Object.entries(pressures)) this.showPressure(key, pressure, now);
  }

  showPressure(key, pressure, now) {
    const before = (this.pressures ??= {})[key];
    this.pressures[key] = pressure && { ...pressure, now };
    const share = (field) => {
      const [old, fresh] = [before?.[field], pressure?.[field]];
      return old === undefined || fresh === undefined || now <= before.now ? undefined : Math.min(Math.max((fresh - old) / (now - before.now), 0), 1);
    };
    if (before && now - before.now < 1) {
      this.pressures[key] = before; // too short for a rate: the next one counts from where this one did
      return;
    }
    const [some, all] = [share("waiting_seconds_total"), share("stalled_seconds_total")];
    const under = some === undefined ? "counting" : all === undefined ? "a task waited" : `all tasks stalled ${percent(all)}`;
    this.gauges[key].show(pressure ? some ?? 0 : undefined, percent(some), under, [0.2, 0.5]);
  }

  showAlerts(alerts) {
    place("alerts").hidden = !alerts;
    if (!alerts) return;
    const body = place("alerts-body");
    if (alerts.error) {
      body.replaceChildren(element("p", { class: "note" }, `Prometheus could not be asked: ${alerts.error}`));
      return;
    }
    const items = alerts.alerts.map((alert) => {
      const severity = alert.labels.severity ?? "";
      const look = alert.state !== "firing" ? "" : severity === "critical" ? "bad" : "warn";
      const since = Date.parse(alert.since) / 1000;
      const where = Object.entries(alert.labels).filter(([key]) => key !== "severity").map(([key, value]) => `${key}=${value}`).join(" ");
      const runbook = /^https?:\/\//.test(alert.runbook_url ?? "")
        ? element("a", { href: alert.runbook_url, rel: "noopener noreferrer", target: "_blank" }, "runbook") : undefined;
      return element("li", {},
        element("span", { class: `badge ${look}` }, [alert.state, severity].filter(Boolean).join(" ")),
        element("b", {}, alert.name), element("span", {}, alert.summary ?? ""),
        element("span", { class: "dim" }, [where, Number.isFinite(since) ? `began ${ago(since, this.now)}` : ""].filter(Boolean).join(" · ")), runbook);
    });
    if (alerts.total > items.length) items.push(element("li", { class: "dim" }, `and ${alerts.total - items.length} more`));
    const list = element("ul", { class: "alerts" }, ...items);
    body.replaceChildren(items.length ? list : element("p", { class: "dim" }, "Nothing fires."));
  }

  showTables(told) {
    const { tables } = this;
    tables.filesystems.show((told.disks.filesystems ?? []).map((one) => ({
      ...one, inodes_used: one.inodes ? 1 - one.inodes_free / one.inodes : undefined,
    })));
    tables.interfaces.show((told.network.interfaces ?? []).map((one) => ({
      ...one, errors: sum(one.receive_errors_total, one.transmit_errors_total), drops: sum(one.receive_drops_total, one.transmit_drops_total),
      link: one.up === undefined ? undefined : one.up ? "up" : "down",
    })));
    if (this.picked !== undefined) return; // these three tell of the moment that is picked
    tables.services.show((told.services.services ?? []).map((one) => ({
      ...one, status: one.up === undefined ? "could not ask" : one.up ? "up" : "down",
    })));
    tables.containers.show(told.containers.containers?.map(container) ?? [], states(told.containers.containers_by_state));
    const waiting = told.processes.processes ? "nothing used any CPU or memory" : undefined;
    tables.processes.show(told.processes.processes ?? [], told.processes.processes?.length ? "" : waiting);
  }

  // -- a moment of the hour

  hover(time, chart) {
    [this.at, this.over] = [time, chart];
    this.repoint();
  }

  repoint() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.charts.forEach((chart) => chart.lines.length && chart.width && chart.point()));
  }

  pick(time) {
    this.picked = time >= this.end - this.interval ? undefined : time;
    place("live").disabled = this.picked === undefined;
    document.body.classList.toggle("past", this.picked !== undefined);
    this.slide();
    this.repoint();
    clearTimeout(this.later);
    if (this.picked === undefined) {
      this.titles("");
      place("told").textContent = "back to now";
      if (this.told) this.showTables(this.told);
    } else this.later = setTimeout(() => this.ask(this.picked), 150);
  }

  slide() {
    const slider = place("when");
    const back = this.picked === undefined ? 0 : this.end - this.picked;
    if (back > HOUR) return this.pick(this.end);
    slider.value = String(HOUR - back);
    const text = this.picked === undefined ? "now" : `${clock(this.picked)}, ${span(back)} ago`;
    slider.setAttribute("aria-valuetext", text);
    place("when-text").textContent = text;
  }

  titles(text) {
    for (const [key, title] of Object.entries({ processes: "Processes", containers: "Containers", services: "Services" })) {
      place(`${key}-title`).textContent = text ? `${title} at ${text}` : title;
    }
  }

  async ask(time) {
    const turn = (this.asked += 1);
    const when = clock(time);
    let told;
    try {
      const answer = await fetch(`api/v1/evidence?at=${time.toFixed(3)}`);
      told = await answer.json();
      if (!answer.ok) told = { error: told.error?.message ?? `status ${answer.status}` };
    } catch {
      told = { error: "the exporter does not answer" };
    }
    if (turn !== this.asked || this.picked === undefined) return; // another moment was picked meanwhile
    this.titles(when);
    const missing = told.error ?? "nothing was kept of that moment";
    this.tables.processes.show(told.processes ?? [], told.processes?.length ? "" : missing);
    this.tables.containers.show((told.containers ?? []).map((one) => ({ ...one, state: "running" })), told.containers?.length ? "those that used most" : missing);
    this.tables.services.show((told.services ?? []).map((one) => ({ ...one, status: one.up ? "up" : "down" })), told.services?.length ? "" : missing);
    const first = told.processes?.[0];
    const top = first ? `on top was ${first.name} with ${cores(first.cpu_cores)} cores` : missing;
    place("told").textContent = `${when}: ${top}`;
  }

  listen() {
    const slider = place("when");
    slider.addEventListener("input", () => this.pick(this.end - HOUR + Number(slider.value)));
    place("live").addEventListener("click", () => {
      this.pick(this.end);
      slider.focus();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.picked !== undefined) this.pick(this.end);
    });
    // a page that nobody sees costs nothing, and leaves its connection to others: browsers have six for one address
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.hiding);
      if (document.hidden) this.hiding = setTimeout(() => this.source.close(), 10000);
      else if (this.source.readyState === EventSource.CLOSED) this.open();
    });
    setInterval(() => {
      if (this.told && this.now - this.told.now_timestamp_seconds > 3 * this.interval + 5 && !document.hidden) this.state("warn", "no news");
    }, 2000);
  }
}

const id = (name, labels) => `${name} ${JSON.stringify(labels)}`;
const sum = (...values) => (values.some((one) => one !== undefined) ? values.reduce((all, one) => all + (one ?? 0), 0) : undefined);

const container = (one) => ({
  ...one, since: one.state === "running" ? one.started_timestamp_seconds : one.finished_timestamp_seconds,
});

function stateLook({ state, health, exit_code: code }) {
  if (health === "unhealthy" || state === "dead" || state === "restarting" || (state === "exited" && code)) return "bad";
  if (state === "running") return health === "starting" ? "warn" : "good";
  return "warn";
}

// what is in trouble stands above what is not
const trouble = (row) => `${["bad", "warn", "good"].indexOf(stateLook(row))} ${row.state}`;

function stateText({ state, health, exit_code: code }) {
  if (state === "running") return health && health !== "healthy" ? health : "running";
  return code === undefined ? state : `${state} (${code})`;
}

const states = (by) => (by ? Object.entries(by).map(([state, count]) => `${count} ${state}`).join(", ") : "");

function theme() {
  const button = place("theme");
  const order = ["auto", "light", "dark"];
  const read = () => {
    try {
      return order.find((one) => one === localStorage.getItem("theme")) ?? "auto";
    } catch {
      return "auto"; // a browser that keeps nothing
    }
  };
  const show = (chosen) => {
    document.documentElement.toggleAttribute("data-light", chosen === "light");
    document.documentElement.toggleAttribute("data-dark", chosen === "dark");
    button.textContent = `Theme: ${chosen}`;
  };
  let chosen = read();
  show(chosen);
  button.addEventListener("click", () => {
    chosen = order[(order.indexOf(chosen) + 1) % order.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch { /* for this page alone, then */ }
    show(chosen);
  });
}

new Page();
