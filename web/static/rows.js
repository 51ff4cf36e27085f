// The rows of a list page, kept as the push stream tells them: each event carries the printed cells of its row.
// A row stays the same element for as long as its object is shown; changes are made within painted frames, no frame is
// held up by more of them than fit, and where many come, what a frame costs decides how soon the next one is.
import { text, show } from "./cells.js";
import { move, take } from "./morph.js";
import { ordering, placed, placeOf } from "./order.js";
import { Widths } from "./widths.js";

// Of a frame's 16 ms; the rest is for style, layout and paint.
const FRAME_MS = 8;
// To lay out and paint 500 rows takes 10 to 20 ms, whatever has changed in them: four fifths of the time are left to
// whoever scrolls and types. Nobody reads more than ten states a second.
const REST = 5;
// More than so many a second are no signal any more, and what fades is painted with each frame.
const FLASHES = 10, FLASH_MS = 1600;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Rows {
  // refill: called when the page has to be asked for again, since rows are missing that only the server knows.
  constructor(table, { refill }) {
    this.table = table;
    this.refill = refill;
    this.changed = 0;
    this.flashed = [];  // when, the last ones
    this.order = ordering(new URL(table.dataset.watch, location.href).searchParams.get("sort"));
    this.pending = new Map();
    this.widths = new Widths(table);
    this.drawing = false;
    this.nextAt = 0;
    this.painted = new MessageChannel();
    this.adopt();
  }

  // Takes over what the server has rendered.
  adopt() {
    this.widths.free();
    const body = this.table.tBodies[0];
    this.body = body;
    this.held = new Map();
    this.places = [];
    for (const row of body.rows) {
      if (!row.dataset.uid) continue;
      row.place = this.placeIn(row);
      this.held.set(row.dataset.uid, row);
      this.places.push(row);
    }
    this.count = document.querySelector("#count");
    this.total = Number(this.count?.textContent ?? this.places.length);
    this.limit = Number(this.table.dataset.limit ?? Infinity);
    this.continued = new URL(location.href).searchParams.has("continue");
    this.more = document.querySelector(".pages a[rel=next]") !== null;
    this.columns = [...this.table.tHead.rows[0].cells].map(({ dataset: { type, links } }) => ({
      type, links, fixed: Boolean(links),
    }));
    this.within = this.columns.some(({ links }) => links === "namespace");
    this.upTo = Number(this.table.dataset.cursor || 0);
    for (const [uid, event] of this.pending) if (this.known(event)) this.pending.delete(uid);
  }

  // Whether the page was made after this event.
  known({ resourceVersion = "" }) {
    return resourceVersion !== "" && Number(resourceVersion) <= this.upTo;
  }

  // Events of the stream. Those that the page was made after say nothing new.
  take(events) {
    for (const event of events) {
      if (this.known(event)) continue;
      if (event.type === "ADDED") this.total += 1;
      else if (event.type === "DELETED") this.total -= 1;
      this.pending.set(event.object.metadata.uid, event);
      this.changed += 1;
    }
    this.soon();
  }

  // At once where little comes, which is inside a frame already.
  soon() {
    if (this.drawing || !this.pending.size) return;
    const waitMs = this.nextAt - performance.now();
    if (waitMs <= 0) return this.work();
    this.drawing = true;
    setTimeout(() => requestAnimationFrame(() => {
      this.drawing = false;
      this.work();
    }), waitMs);
  }

  work() {
    const began = performance.now();
    this.widths.hold();
    this.painted.port1.onmessage = () => {  // comes after this frame's layout and paint
      this.nextAt = began + REST * (performance.now() - began);
    };
    this.painted.port2.postMessage(null);
    this.nextAt = began + FRAME_MS;
    const until = began + FRAME_MS;
    for (const [uid, event] of this.pending) {
      this.pending.delete(uid);
      if (event.type === "DELETED") this.remove(uid);
      else this.put(uid, event.object);
      if (performance.now() >= until) break;
    }
    if (this.count && this.count.textContent !== String(this.total)) this.count.textContent = this.total;
    requestAnimationFrame(() => this.soon());
  }

  remove(uid) {
    const row = this.held.get(uid);
    if (!row) {
      if (this.continued) this.refill();  // what stands here moves up
      return;
    }
    this.held.delete(uid);
    this.places.splice(this.places.indexOf(row), 1);
    take(row);
    if (this.more || !this.places.length) this.refill();
  }

  put(uid, object) {
    let row = this.held.get(uid);
    const place = placed(object);
    if (row && this.order(row.place, place) === 0) return this.update(row, object);
    const was = row ? this.places.indexOf(row) : -1;
    if (row) this.places.splice(was, 1);
    const at = placeOf(place, this.places, this.order);
    const outside = (at === 0 && this.continued) || (at === this.places.length && this.more);
    if (outside) {
      if (row) {
        this.held.delete(uid);
        take(row);
      }
      if (row || (at === 0 && this.continued)) this.refill();
      return;
    }
    if (!row) {
      row = this.made(uid, object);
      this.held.set(uid, row);
    }
    row.place = place;
    this.update(row, object);
    move(this.body, row, this.places[at] ?? null);
    this.places.splice(at, 0, row);
    for (const none of this.body.querySelectorAll(":scope > .none")) none.remove();
    if (this.places.length > this.limit) {
      const last = this.places.pop();
      this.held.delete(last.dataset.uid);
      take(last);
      if (!this.more) this.refill();
    }
  }

  update(row, object) {
    row.classList.toggle("stale", Boolean(object.error));
    if (object.error) row.title = text(object.error);
    else row.removeAttribute("title");
    const ages = new Map((object.ages ?? []).map((age) => [age.column, age]));
    object.cells.forEach((value, index) => {
      const cell = row.cells[index];
      if (!cell) return;
      if (show(cell, this.columns[index], value, object.tones?.[index], ages.get(index))) this.flash(cell);
      this.widths.said(index, cell);
    });
  }

  // An age goes on by itself.
  growing(element) {
    if (this.table.contains(element)) this.widths.hold();
  }

  grew(cell) {
    if (cell.cellIndex !== undefined && this.table.contains(cell)) this.widths.said(cell.cellIndex, cell);
  }

  // A row for an object that was not shown: links are where those of the heads lead.
  made(uid, object) {
    const { namespace, name } = object.metadata;
    const row = document.createElement("tr");
    row.dataset.uid = uid;
    for (const { links, fixed } of this.columns) {
      const named = links === "object";
      const cell = document.createElement(named ? "th" : "td");
      if (named) cell.scope = "row";
      if (named && this.within) cell.dataset.within = text(namespace);
      if (fixed) {
        const link = document.createElement("a");
        link.href = named ? this.address(namespace, name) : within(namespace);
        cell.append(link);
      }
      row.append(cell);
    }
    return row;
  }

  // Of a row that the server has rendered: its link says which object it is.
  placeIn(row) {
    const parts = new URL(row.querySelector("th[scope=row] a").href).pathname.split("/").map(decodeURIComponent);
    const keys = row.dataset.order ? JSON.parse(row.dataset.order) : [];
    return { keys, namespace: this.table.dataset.namespaced ? parts.at(-2) : "", name: parts.at(-1) };
  }

  address(namespace, name) {
    const url = new URL(this.table.dataset.path, location.href);
    url.pathname += [namespace, name].filter(Boolean).map((part) => `/${encodeURIComponent(part)}`).join("");
    return url.pathname + url.search;
  }

  flash(cell) {
    const now = performance.now();
    this.flashed = this.flashed.filter((when) => now - when < 1000);
    this.flashed.push(now);
    if (still.matches || this.flashed.length > FLASHES) return;
    const ground = getComputedStyle(document.documentElement).getPropertyValue("--flash");
    cell.animate([{ background: ground }, {}], { duration: FLASH_MS, easing: "ease-out" });
  }
}

function within(namespace) {
  const url = new URL(location.href);
  url.searchParams.delete("continue");
  url.searchParams.set("namespace", namespace);
  return url.pathname + url.search;
}
