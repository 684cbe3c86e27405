// SPDX-License-Identifier: Apache-2.0
// Shows what the server tells of its machines. All that comes from a guest is put in as text, never as markup.
import { Plot, short } from "./plot.js";
import { SpaceMap, hex, rights, size } from "./map.js";

const REQUESTS = 1000;
const FAULTS = 200;
const SAMPLES = 300;
const MAP_MILLIS = 1000;

const $ = (id) => document.getElementById(id);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** So many of something, in words. */
function many(number, one) {
  return `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;
}

/** Options of a list, keeping what is chosen. */
function options(list, entries) {
  const now = JSON.stringify(entries);
  if (list.dataset.entries === now) return;
  list.dataset.entries = now;
  const chosen = list.value;
  list.replaceChildren(...entries.map(([value, text]) => {
    const option = element("option", "", text);
    option.value = value;
    return option;
  }));
  if (entries.some(([value]) => value === chosen)) list.value = chosen;
}

// Devices

const iommus = new Map(); // "machine/iommu" -> what is known of it

function devices(state) {
  const findings = new Map(state.findings.map((finding) => [finding.device, finding]));
  const parts = [];
  iommus.clear();
  for (const machine of state.machines) {
    if (!machine.answers) parts.push(device({ name: machine.name }, findings.get(machine.name), ""));
    for (const iommu of machine.iommus) {
      const name = `${machine.name}/${iommu.name}`;
      iommus.set(name, iommu);
      const box = element("div", "iommu");
      const head = element("header");
      head.append(element("h3", "", name), element("span", "quiet",
        `${many(iommu.domainCount, "domain")}, ${many(iommu.mappingCount, "mapping")}${iommu.bypass ? ", bypass on" : ""}`));
      box.append(head, session(iommu.session));
      const list = element("ul");
      const own = findings.get(name);
      if (own) list.append(device({ name: "IOMMU" }, own, ""));
      for (const endpoint of iommu.endpoints) {
        list.append(device(endpoint, findings.get(`${machine.name}/${endpoint.name}`), endpoint));
      }
      box.append(list);
      parts.push(box);
    }
  }
  $("devices").replaceChildren(...parts);
  const problems = state.findings.filter((finding) => finding.problem).length;
  $("verdict").textContent = state.ok
    ? "Every device is translated, or will be."
    : `${problems} thing${problems === 1 ? "" : "s"} to look at`;
  document.title = state.ok ? "Ioasis" : `(${problems}) Ioasis`;
}

function session(about) {
  const words = about.connected
    ? `VMM connected, ${size(about.sharedBytes)} shared in ${about.regions} region${about.regions === 1 ? "" : "s"}, ${about.messages.toLocaleString("en")} messages`
    : about.sessions === 0 ? "no VMM yet" : `no VMM now; ${about.lastEnd}`;
  return element("p", "facts", words);
}

function device(about, finding, endpoint) {
  const item = element("li", "device" + (finding ? (finding.problem ? " bad" : " good") : ""));
  const head = element("div", "head");
  head.append(element("h3", "", about.name));
  if (endpoint) head.append(element("span", "mono quiet", hex(BigInt(endpoint.endpoint))));
  if (finding) head.append(element("span", "pill " + (finding.problem ? "bad" : "good"), finding.cause.toLowerCase().replaceAll("_", " ")));
  item.append(head);
  if (finding) {
    item.append(element("p", "", finding.text));
    if (finding.remedy) item.append(element("p", "remedy", `→ ${finding.remedy}`));
  }
  if (endpoint) {
    const facts = element("p", "facts");
    const counts = [["translations", endpoint.translations], ["bytes", endpoint.translatedBytes], ["bypassed", endpoint.bypassed], ["refused", endpoint.faults], ...Object.entries(endpoint.work)];
    for (const [name, count] of counts) {
      if (count) facts.append(element("span", "", `${name === "bytes" ? size(count) : short(count)} ${name === "bytes" ? "translated" : name}`));
    }
    item.append(facts);
  }
  return item;
}

// Address space

const map = new SpaceMap($("map"), $("cell"), async (view, buckets) => {
  const chosen = $("domain").value;
  if (!chosen) return null;
  const [iommu, domain] = chosen.split("#");
  const query = new URLSearchParams({ iommu, domain, buckets });
  if (view) {
    query.set("first", hex(view[0]));
    query.set("last", hex(view[1]));
  }
  const response = await fetch(`map?${query}`);
  return response.ok && chosen === $("domain").value ? response.json() : null;
}, (answer) => {
  const first = BigInt(answer.first);
  const last = BigInt(answer.last);
  const more = answer.complete ? "" : " (and more: not all was visited)";
  $("range").textContent = answer.there
    ? `${hex(first)} – ${hex(last)}, ${size(last - first + 1n)}, ${size(BigInt(answer.width))} a cell, ${many(answer.visited, "mapping")} in ${many(answer.runCount, "run")}${more}`
    : "the domain has gone";
  $("map").dataset.visited = answer.visited;
  $("runs-title").textContent = `Mapped runs (${answer.runs.length.toLocaleString("en")} of ${answer.runCount.toLocaleString("en")})`;
  if (!$("runs-box").open) return;
  $("runs").replaceChildren(...answer.runs.map(([from, to, output, flags, mappings]) => {
    const row = element("tr");
    row.append(element("td", "", `${from}–${to}`), element("td", "", size(BigInt(to) - BigInt(from) + 1n)),
      element("td", "", output), element("td", "", rights(flags)), element("td", "", mappings));
    return row;
  }));
});

function domains(state) {
  const entries = [];
  for (const [name, iommu] of iommus) {
    for (const domain of iommu.domains) {
      const whose = domain.endpoints.map((id) => iommu.endpoints.find((one) => one.endpoint === id)?.name ?? hex(BigInt(id)));
      entries.push([`${name}#${domain.id}`, `${name} ${domain.id} (${whose.join(", ")}): ${domain.bypass ? "bypass" : many(domain.mappingCount, "mapping")}`]);
    }
  }
  const before = $("domain").value;
  // What is written of a domain changes all the time; what is chosen must not.
  const list = $("domain");
  if (JSON.stringify(entries.map((one) => one[0])) === JSON.stringify([...list.options].map((one) => one.value))) {
    entries.forEach(([, text], i) => {
      if (list.options[i].textContent !== text) list.options[i].textContent = text;
    });
  } else {
    options(list, entries);
  }
  if (list.value !== before) changeDomain();
  const names = [...iommus.keys()].map((name) => [name, name]);
  options($("iommu"), names);
  options($("inject-iommu"), names);
  options($("inject-name"), [...state.injections, "none"].map((name) => [name, name === "none" ? "none: take all back" : name]));
  if (!entries.length) $("range").textContent = "no device is attached to a domain yet";
}

function changeDomain() {
  map.forget();
  if ($("domain").value) map.refresh();
}

$("domain").addEventListener("change", changeDomain);
$("in").addEventListener("click", () => map.zoom(true, map.answer ? map.here() : undefined));
$("out").addEventListener("click", () => map.zoom(false));
$("left").addEventListener("click", () => map.pan(-1n));
$("right").addEventListener("click", () => map.pan(1n));
$("fit").addEventListener("click", () => map.fit());
$("all").addEventListener("click", () => map.all());
$("runs-box").addEventListener("toggle", () => map.refresh());
setInterval(() => {
  if (!document.hidden && $("domain").value) map.refresh();
}, MAP_MILLIS);

// Rates

const samples = new Map();
const plots = [
  [new Plot($("plot-requests"), "Requests", "/s"), (one) => [one[0], one[1]]],
  [new Plot($("plot-translations"), "Translations", "/s"), (one) => [one[0], one[2]]],
  [new Plot($("plot-answers"), "Time to an answer", "µs", true), (one) => [one[0], one[5] / 1000, one[6] / 1000]],
  [new Plot($("plot-lookups"), "Time of a look-up", "ns"), (one) => [one[0], one[4]]],
];

function rates(more) {
  for (const [name, list] of Object.entries(more)) {
    const all = (samples.get(name) ?? []).concat(list);
    samples.set(name, all.slice(-SAMPLES));
  }
  drawRates();
}

function drawRates() {
  const chosen = samples.get($("iommu").value) ?? [];
  for (const [plot, of] of plots) plot.draw(chosen.map(of));
}

$("iommu").addEventListener("change", drawRates);

// Faults and requests

function faults(list) {
  for (const fault of list) {
    const item = element("li", "fresh");
    const head = element("div", "head");
    const go = element("button", "", "Show");
    go.type = "button";
    go.setAttribute("aria-label", `Show ${fault.address} in the address space`);
    go.addEventListener("click", () => showFault(fault));
    head.append(element("span", "mono quiet", fault.time.slice(11, 23)),
      element("strong", "mono", `${fault.access} ${fault.address}`),
      element("span", "", nameOf(fault.iommu, fault.endpoint)), go);
    item.append(head, element("p", "", fault.explanation + (fault.count > 1 ? ` (${fault.count} times)` : "")));
    if (fault.before) item.append(element("p", "quiet", `before: ${fault.before}`));
    $("faults").prepend(item);
  }
  while ($("faults").children.length > FAULTS) $("faults").lastChild.remove();
  $("no-faults").hidden = $("faults").children.length > 0;
}

function nameOf(iommu, id) {
  return iommus.get(iommu)?.endpoints.find((one) => one.endpoint === id)?.name ?? hex(BigInt(id));
}

function showFault(fault) {
  const domain = iommus.get(fault.iommu)?.domains.find((one) => one.endpoints.includes(fault.endpoint));
  if (!domain) return;
  const value = `${fault.iommu}#${domain.id}`;
  if ($("domain").value !== value) {
    $("domain").value = value;
    map.forget();
  }
  map.goto(BigInt(fault.address));
  $("map").focus();
}

let held = [];

function requests(list) {
  if ($("hold").checked) {
    held = held.concat(list).slice(-REQUESTS);
    return;
  }
  const body = $("requests");
  const wanted = $("filter").value.toLowerCase();
  const rows = list.slice(-REQUESTS).map((one) => {
    const row = element("tr", one.kind === "request" ? (one.status === "OK" ? "" : "refusal") : "note");
    const answer = one.kind === "request" ? (one.status || "given back") + (one.why ? `: ${one.why}` : "") : "";
    row.append(element("td", "", one.time.slice(11, 26)), element("td", "", one.iommu), element("td", "wide", one.text), element("td", "wide", answer));
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
    return row;
  });
  body.prepend(...rows.reverse());
  while (body.children.length > REQUESTS) body.lastChild.remove();
  $("request-count").textContent = `${body.children.length.toLocaleString("en")} kept`;
}

$("filter").addEventListener("input", () => {
  const wanted = $("filter").value.toLowerCase();
  for (const row of $("requests").children) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
$("hold").addEventListener("change", () => {
  if (!$("hold").checked) {
    const list = held;
    held = [];
    requests(list);
  }
});

// Failures

const HELP = {
  map_nomem: "The MAP with this number from now on is answered NOMEM and maps nothing.",
  unmap_delay_ms: "Each UNMAP is answered so many milliseconds later than it is done; 0 ends it.",
  drop_events: "So many next events are lost on the way to the driver.",
  double_events: "So many next events come twice.",
  truncate_probe: "The answer to the next PROBE ends after so many bytes.",
  none: "Takes back everything that is planted and has not happened.",
};

function help() {
  $("inject-help").textContent = HELP[$("inject-name").value] ?? "";
}

$("plant").addEventListener("click", () => {
  $("inject-answer").textContent = "";
  $("inject-sure").checked = false;
  help();
  $("inject").showModal();
});
$("inject-cancel").addEventListener("click", () => $("inject").close());
$("inject-name").addEventListener("change", help);
$("inject-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams({
    iommu: $("inject-iommu").value,
    name: $("inject-name").value,
    value: $("inject-value").value,
    confirmed: $("inject-sure").checked ? "yes" : "no",
  });
  try {
    const response = await fetch("inject", { method: "POST", body });
    $("inject-answer").textContent = (await response.json()).text;
  } catch (failure) {
    $("inject-answer").textContent = "the server does not answer";
  }
  $("inject-sure").checked = false;
});

// The stream

function link(text, kind) {
  if ($("link").textContent !== text) $("link").textContent = text;
  $("link").className = `pill ${kind}`;
}

const events = new EventSource("events");
events.addEventListener("open", () => {
  // All that is kept comes again.
  samples.clear();
  held = [];
  $("faults").replaceChildren();
  $("requests").replaceChildren();
  link("live", "good");
});
events.addEventListener("error", () => link("no connection", "bad"));
events.addEventListener("look", (event) => {
  const look = JSON.parse(event.data);
  if (look.state) {
    devices(look.state);
    domains(look.state);
    link(look.state.lost ? `live, ${short(look.state.lost)} not shown` : "live", "good");
  }
  rates(look.samples);
  faults(look.faults);
  requests(look.requests);
});
