// SPDX-License-Identifier: Apache-2.0
// A part of a domain's address space as rows of cells, from low to high as one reads; to be moved in by pointer and keys.
import { svg } from "./plot.js";

const MAX = (1n << 64n) - 1n;
const BUCKETS = 512;
const LABEL = 132;
const GAP = 4;

export const hex = (value) => "0x" + value.toString(16);

export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

export function rights(flags) {
  const words = [];
  if (flags & 1) words.push("read");
  if (flags & 2) words.push("write");
  if (flags & 4) words.push("device registers");
  return words.join(", ") || "nothing";
}

function kind(flags) {
  if (flags & 4) return "mmio";
  return (flags & 3) === 3 ? "rw" : flags & 2 ? "w" : "r";
}

export class SpaceMap {
  /** `ask` gives what the server says of (first, last, buckets), or of all that is mapped; `told` hears of each answer. */
  constructor(element, cell, ask, told) {
    this.element = element;
    this.cell = cell;
    this.ask = ask;
    this.told = told;
    this.view = null; // [first, last], or null for all that is mapped
    this.answer = null;
    this.cursor = 0;
    this.asking = false;
    this.again = false;
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("pointerdown", (event) => this.press(event));
    element.addEventListener("pointermove", (event) => this.drag(event));
    element.addEventListener("pointerup", (event) => this.release(event));
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(element);
  }

  async refresh() {
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    try {
      const answer = await this.ask(this.view, BUCKETS);
      if (answer) {
        this.answer = answer;
        this.first = BigInt(answer.first);
        this.last = BigInt(answer.last);
        this.width = BigInt(answer.width);
        this.draw();
        this.told(answer);
      }
    } finally {
      this.asking = false;
      if (this.again) {
        this.again = false;
        this.refresh();
      }
    }
  }

  forget() {
    this.view = null;
    this.answer = null;
    this.cursor = 0;
    this.element.replaceChildren();
    this.cell.textContent = "";
  }

  // Where one is
  show(first, last) {
    const low = first < 0n ? 0n : first;
    this.view = [low, last > MAX ? MAX : last];
    return this.refresh();
  }

  fit() {
    this.view = null;
    this.cursor = 0;
    return this.refresh();
  }

  all() {
    return this.show(0n, MAX);
  }

  /** What is shown, or will be when the server has answered. */
  shown() {
    return this.view ?? [this.first, this.last];
  }

  /** Four times as near, or as far, around an address. */
  zoom(isIn, around) {
    if (!this.answer) return undefined;
    const [low, high] = this.shown();
    const span = high - low + 1n;
    let next = isIn ? span / 4n : span * 4n;
    const granule = this.granule();
    if (next < granule * 8n) next = granule * 8n;
    if (next > MAX) return this.all();
    const at = around ?? low + span / 2n;
    let first = at - ((at - low) * next) / span;
    if (first < 0n) first = 0n;
    if (first + next - 1n > MAX) first = MAX - next + 1n;
    first -= first % granule;
    const shown = this.show(first, first + next - 1n);
    this.cursor = Math.min(BUCKETS - 1, Number((at - first) / this.cellBytes(next)));
    return shown;
  }

  pan(direction) {
    if (!this.answer) return undefined;
    const [low, high] = this.shown();
    const span = high - low + 1n;
    let first = low + (direction * span) / 2n;
    if (first < 0n) first = 0n;
    if (first + span - 1n > MAX) first = MAX - span + 1n;
    return this.show(first, first + span - 1n);
  }

  /** Shows an address with what is around it. */
  goto(address) {
    const granule = this.granule();
    const half = granule * BigInt(BUCKETS / 2);
    let first = address - (address % granule) - half;
    if (first < 0n) first = 0n;
    if (first + 2n * half - 1n > MAX) first = MAX - 2n * half + 1n;
    this.cursor = Number((address - first) / granule);
    return this.show(first, first + 2n * half - 1n);
  }

  granule() {
    return BigInt(this.answer?.granule || "0x1000") || 4096n;
  }

  /** Bytes of a cell when so many are shown: the server makes whole granules. */
  cellBytes(span) {
    const granule = this.granule();
    return (((span - 1n) / BigInt(BUCKETS) + granule) / granule) * granule;
  }

  // Drawing
  layout() {
    const width = this.element.clientWidth;
    const label = width < 500 ? 92 : LABEL;
    const columns = width < 500 ? 32 : 64;
    const rows = BUCKETS / columns;
    const height = this.element.clientHeight / rows;
    return { label, columns, rows, height, cell: (width - label) / columns };
  }

  place(bucket) {
    const { label, columns, height, cell } = this.layout();
    return [label + (bucket % columns) * cell, Math.floor(bucket / columns) * height];
  }

  bucketOf(address) {
    return Math.min(BUCKETS - 1, Number((address - this.first) / this.width));
  }

  draw() {
    if (!this.answer || !this.element.clientWidth) return;
    const { label, columns, rows, height, cell } = this.layout();
    const parts = [];
    const used = Math.min(BUCKETS, this.bucketOf(this.last) + 1);
    for (let row = 0; row < rows; row++) {
      const from = row * columns;
      if (from >= used) break;
      const cells = Math.min(columns, used - from);
      parts.push(svg("text", { x: 0, y: row * height + height / 2 + 3 }, hex(this.first + BigInt(from) * this.width)));
      parts.push(svg("rect", { class: "free", x: label, y: row * height, width: cells * cell, height: height - GAP, rx: 2 }));
    }
    const add = (bucket, shape, count = 1) => {
      // One rectangle for neighbours of a row.
      let at = bucket;
      let left = count;
      while (left > 0) {
        const here = Math.min(left, columns - (at % columns));
        const [x, y] = this.place(at);
        parts.push(svg("rect", { x, y, width: here * cell, height: height - GAP, ...shape }));
        at += here;
        left -= here;
      }
    };
    const range = (first, last, shape) => {
      const low = first < this.first ? this.first : first;
      const high = last > this.last ? this.last : last;
      const from = this.bucketOf(low);
      add(from, shape, this.bucketOf(high) - from + 1);
    };
    for (const [first, last] of this.answer.reserved) range(BigInt(first), BigInt(last), { class: "reserved" });
    let run = null;
    const flush = () => run && add(run.bucket, { class: `mapped ${run.kind}`, "fill-opacity": run.opacity }, run.count);
    for (const [bucket, bytes, flags] of this.answer.buckets) {
      const share = Math.min(1, bytes / Number(this.width));
      const opacity = (0.35 + 0.65 * Math.ceil(share * 4) / 4).toFixed(2);
      const next = { bucket, kind: kind(flags), opacity, count: 1 };
      if (run && run.bucket + run.count === bucket && run.kind === next.kind && run.opacity === opacity) {
        run.count++;
      } else {
        flush();
        run = next;
      }
    }
    flush();
    for (const [first, last] of this.answer.unmapped) range(BigInt(first), BigInt(last), { class: "unmapped" });
    for (const [address, text] of this.answer.faulted) {
      const [x, y] = this.place(this.bucketOf(BigInt(address)));
      const mark = svg("circle", { class: "fault", cx: x + cell / 2, cy: y + (height - GAP) / 2, r: 4.5 });
      mark.append(svg("title", {}, text));
      parts.push(mark);
    }
    this.picked = svg("rect", { class: "picked", width: 0, height: 0 });
    const [x, y] = this.place(this.cursor);
    this.mark = svg("rect", { class: "cursor", x, y, width: cell, height: height - GAP });
    parts.push(this.picked, this.mark);
    this.element.replaceChildren(...parts);
    this.say();
  }

  /** What is at the cursor, in words. */
  say() {
    const first = this.first + BigInt(this.cursor) * this.width;
    if (first > this.last) {
      this.cursor = this.bucketOf(this.last);
      this.draw();
      return;
    }
    let last = first + this.width - 1n;
    if (last > this.last) last = this.last;
    const words = [`${hex(first)}–${hex(last)}`];
    const touches = ([low, high]) => BigInt(low) <= last && BigInt(high) >= first;
    const bucket = this.answer.buckets.find((one) => one[0] === this.cursor);
    if (bucket) {
      const runs = this.answer.runs.filter(touches);
      words.push(`${size(bucket[1])} mapped (${rights(bucket[2])}), ${bucket[3]} ${bucket[3] === 1 ? "mapping begins" : "mappings begin"}`);
      if (runs.length === 1) words.push(`in ${runs[0][0]}–${runs[0][1]} to ${runs[0][2]}`);
    } else {
      words.push("nothing is mapped");
    }
    for (const one of this.answer.reserved.filter(touches)) words.push(`reserved (${one[2]})`);
    const gone = this.answer.unmapped.filter(touches).at(-1);
    if (gone) words.push(`unmapped at ${gone[2].slice(11, 23)}`);
    const faults = this.answer.faulted.filter((one) => touches([one[0], one[0]]));
    if (faults.length) words.push(`${faults.length} refused: ${faults.at(-1)[1]}`);
    this.cell.textContent = words.join(" · ");
  }

  move(by) {
    if (!this.answer) return;
    const next = this.cursor + by;
    if (next < 0 || next > this.bucketOf(this.last)) {
      return;
    }
    this.cursor = next;
    const [x, y] = this.place(next);
    this.mark.setAttribute("x", x);
    this.mark.setAttribute("y", y);
    this.say();
  }

  /** The address in the middle of the cell at the cursor. */
  here() {
    const [low, high] = this.shown();
    const width = this.cellBytes(high - low + 1n);
    return low + BigInt(this.cursor) * width + width / 2n;
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.answer) return;
    const { columns } = this.layout();
    const keys = {
      ArrowLeft: () => this.move(-1),
      ArrowRight: () => this.move(1),
      ArrowUp: () => this.move(-columns),
      ArrowDown: () => this.move(columns),
      "+": () => this.zoom(true, this.here()),
      "=": () => this.zoom(true, this.here()),
      Enter: () => this.zoom(true, this.here()),
      "-": () => this.zoom(false, this.here()),
      Home: () => this.fit(),
      End: () => this.all(),
      PageUp: () => this.pan(-1n),
      PageDown: () => this.pan(1n),
    };
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  }

  at(event) {
    const box = this.element.getBoundingClientRect();
    const { label, columns, rows, height, cell } = this.layout();
    const column = Math.max(0, Math.min(columns - 1, Math.floor((event.clientX - box.left - label) / cell)));
    const row = Math.max(0, Math.min(rows - 1, Math.floor((event.clientY - box.top) / height)));
    return row * columns + column;
  }

  press(event) {
    if (!this.answer || event.button !== 0) return;
    this.pressed = this.at(event);
    this.cursor = Math.min(this.pressed, this.bucketOf(this.last));
    this.move(0);
  }

  drag(event) {
    if (this.pressed === undefined || !this.answer) return;
    const { columns, height, cell } = this.layout();
    const now = this.at(event);
    const [low, high] = now < this.pressed ? [now, this.pressed] : [this.pressed, now];
    const [x, y] = this.place(low);
    const sameRow = Math.floor(low / columns) === Math.floor(high / columns);
    this.picked.setAttribute("x", x);
    this.picked.setAttribute("y", y);
    this.picked.setAttribute("width", sameRow ? (high - low + 1) * cell : (columns - (low % columns)) * cell);
    this.picked.setAttribute("height", sameRow ? height - GAP : (Math.floor(high / columns) - Math.floor(low / columns) + 1) * height - GAP);
  }

  release(event) {
    if (this.pressed === undefined || !this.answer) return;
    const now = this.at(event);
    const [low, high] = now < this.pressed ? [now, this.pressed] : [this.pressed, now];
    this.pressed = undefined;
    if (high - low >= 1) {
      this.cursor = 0;
      let last = this.first + BigInt(high + 1) * this.width - 1n;
      if (last > this.last) last = this.last;
      this.show(this.first + BigInt(low) * this.width, last);
    }
  }

  wheel(event) {
    if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
    event.preventDefault();
    if (this.answer && !this.asking) {
      const at = this.first + BigInt(this.at(event)) * this.width + this.width / 2n;
      this.zoom((event.deltaY || event.deltaX) < 0, at > this.last ? this.last : at);
    }
  }
}
