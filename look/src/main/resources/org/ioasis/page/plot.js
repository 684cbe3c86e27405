// SPDX-License-Identifier: Apache-2.0
// A line over time in a figure, with its last value in words.

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 84;
const TOP = 14;
const BOTTOM = 14;
const KEPT = 300;

export function svg(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A number that is not longer than needed. */
export function short(value) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return (value / size).toFixed(value >= 10 * size ? 0 : 1) + unit;
  }
  return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

export class Plot {
  /** Shows `values` [millis, value, more] of the title's; a negative value is a gap. */
  constructor(figure, title, unit, more) {
    this.title = title;
    this.unit = unit;
    this.more = more;
    this.caption = document.createElement("figcaption");
    this.name = document.createElement("span");
    this.name.textContent = title;
    this.now = document.createElement("b");
    this.caption.append(this.name, this.now);
    this.chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    figure.append(this.caption, this.chart);
  }

  draw(values) {
    const known = values.filter((value) => value[1] >= 0);
    const last = known.at(-1);
    this.now.textContent = last ? `${short(last[1])} ${this.unit}` : "–";
    const highest = Math.max(1, ...known.map((value) => Math.max(value[1], value[2] ?? 0)));
    const newest = values.length ? values.at(-1)[0] : 0;
    const seconds = Math.min(KEPT, Math.max(30, values.length ? (newest - values[0][0]) / 1000 : 0));
    const x = (millis) => WIDTH - ((newest - millis) / 1000 / seconds) * WIDTH;
    const y = (value) => HEIGHT - BOTTOM - (value / highest) * (HEIGHT - TOP - BOTTOM);
    const parts = [
      svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
      svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
    ];
    if (known.length > 1) {
      const points = known.map((value) => `${x(value[0]).toFixed(1)},${y(value[1]).toFixed(1)}`);
      const from = x(known[0][0]).toFixed(1);
      parts.push(svg("polygon", { class: "area", points: `${from},${HEIGHT - BOTTOM} ${points.join(" ")} ${WIDTH},${HEIGHT - BOTTOM}` }));
      if (this.more) {
        const most = known.map((value) => `${x(value[0]).toFixed(1)},${y(value[2]).toFixed(1)}`);
        parts.push(svg("polyline", { class: "line more", points: most.join(" "), "vector-effect": "non-scaling-stroke" }));
      }
      parts.push(svg("polyline", { class: "line", points: points.join(" "), "vector-effect": "non-scaling-stroke" }));
    }
    this.chart.replaceChildren(...parts);
    this.chart.setAttribute("aria-label", last
      ? `${this.title}: now ${short(last[1])} ${this.unit}, highest ${short(highest)} in ${Math.round(seconds)} seconds`
      : `${this.title}: nothing yet`);
    this.scale(`${short(highest)}${this.more ? " (most: dashed)" : ""}`, `${Math.round(seconds)} s ago`);
  }

  // The chart is stretched to its place; words must not be.
  scale(high, ago) {
    if (!this.words) {
      this.words = [document.createElement("figcaption")];
      this.words[0].append(document.createElement("span"), document.createElement("span"));
      this.chart.after(this.words[0]);
    }
    const [left, right] = this.words[0].children;
    left.textContent = ago;
    right.textContent = `up to ${high}`;
  }
}
