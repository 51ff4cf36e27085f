// <kube-mirror resource="deployments" selector="app=web">: a live table of what a mirror holds, on any page.
//
// One file without dependencies: the mirror puts what is imported here into it (serve/assets.py). It reads the mirror
// that it came from, or that of the attribute `server`; a mirror of another origin must list the page's with
// --allow-origin. Attributes: resource, selector, namespace, fields, q, filter, columns, sort, limit, heading,
// theme (auto, light, dark), accent (#0a58ca), server. It tells `kube-mirror:state` and `kube-mirror:select`.
import { adapted } from "./accent.js";
import { Ages } from "./ages.js";
import { element, show, text } from "./cells.js";
import { ordering, placed } from "./order.js";
import { watch } from "./watch.js";

// Of /watch, by the attribute that sets it.
const PARAMETERS = {
  resource: "resource", namespace: "namespace", selector: "labelSelector", fields: "fieldSelector",
  q: "q", filter: "filter", columns: "columns", sort: "sort",
};
// A card in a portal is no place for more; the rest is a link away.
const ROWS = 50;
const AGES_MS = 1000;

const BARS = Array.from({ length: 21 }, (_, part) => `[data-bar="${part}"] { --part: ${part / 20}; }`).join(" ");
const style = new CSSStyleSheet();
style.replaceSync(`
  :host { display: block; color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; color: var(--kube-mirror-text, light-dark(#16202c, #e6ebf1));
    --line: light-dark(#dfe4ea, #2b3540); --quiet: light-dark(#55606e, #9eabb9); --accent: var(--kube-mirror-accent, light-dark(#0a58ca, #79b1ff)); }
  :host([theme=light]) { color-scheme: light; } :host([theme=dark]) { color-scheme: dark; }
  :host(:is([theme=light], [theme=dark])) { background: var(--kube-mirror-ground, light-dark(#fbfcfd, #0f141a)); padding: .6em .8em; border-radius: 6px; } :host([hidden]) { display: none; }
  .scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
  caption { text-align: left; padding: 0 0 .4em; font-weight: 600; } caption span, p { font-weight: 400; color: var(--quiet); font-size: .9em; }
  th, td { text-align: left; vertical-align: top; padding: .3em .8em .3em 0; border-top: 1px solid var(--line); white-space: nowrap; max-width: 30em; overflow: hidden; text-overflow: ellipsis; font-variant-numeric: tabular-nums; }
  thead th { font-size: .85em; color: var(--quiet); border: 0; } tbody th { font-weight: 550; } a { color: var(--accent); text-underline-offset: 2px; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
  [data-tone=busy] { color: light-dark(#0b5394, #8cc4ff); font-weight: 600; } .none td { color: var(--quiet); }
  [data-tone=warn] { color: light-dark(#7a4d00, #ffcf7d); font-weight: 600; } [data-tone=bad] { color: light-dark(#a11722, #ff9ca2); font-weight: 600; }
  .tag { border: 1px solid var(--line); border-radius: 4px; padding: 0 .35em; font-size: .92em; }
  td[data-bar] { --bar: light-dark(#b26a00, #ffcf7d); padding-bottom: calc(.3em + 6px); background: linear-gradient(var(--bar) 0 0) no-repeat, linear-gradient(var(--line) 0 0) no-repeat;
    background-origin: content-box; background-position: 0 calc(1.5em + 2px); background-size: calc(var(--part) * 56px) 4px, 56px 4px; }
  ${BARS} [data-bar="20"][data-bar] { --bar: light-dark(#136c3a, #7fdca4); }
  .dot { display: inline-block; width: 10px; height: 10px; background: currentColor; color: var(--quiet); }
  .dot-good { color: light-dark(#136c3a, #7fdca4); border-radius: 50%; border: 1px solid transparent; background-clip: padding-box; box-sizing: border-box; }
  .dot-bad { color: light-dark(#a11722, #ff9ca2); clip-path: polygon(50% 0, 100% 50%, 50% 100%, 0 50%); }
  .dot-warn { color: light-dark(#b26a00, #ffcf7d); clip-path: polygon(50% 5%, 100% 95%, 0 95%); }
  .dot-busy { color: var(--accent); border-radius: 50%; border: 2px solid; border-right-color: transparent; background: none; box-sizing: border-box; }
  .dot-unknown, .dot-rest { background: linear-gradient(currentColor 0 0) center / 80% 2px no-repeat; }
  .dot, [data-bar] { forced-color-adjust: none; print-color-adjust: exact; }
  .dim :is(td, tbody th, tbody a) { color: var(--quiet); } p { margin: .4em 0 0; } [hidden] { display: none; }
`);

export class KubeMirror extends HTMLElement {
  static observedAttributes = [...Object.keys(PARAMETERS), "server", "limit", "heading", "accent"];

  #parts = null;
  #watching = null;
  #ages = null;
  #held = new Map();  // by uid: the object of the last event, and its keys
  #rows = new Map();  // by uid: the row that shows it
  #columns = [];
  #order = null;
  #dirty = new Set();
  #complete = false;

  connectedCallback() {
    this.#parts ??= this.#made();
    this.#ages ??= new Ages(this.shadowRoot);
    this.#ages.start(AGES_MS);
    this.#begin();
  }

  disconnectedCallback() {
    this.#ages.stop();
    this.#watching?.stop();
    this.#watching = null;
  }

  attributeChangedCallback(name, before, after) {
    if (before !== after && this.isConnected && this.#parts) this.#begin();
  }

  // Where the mirror is: what stands before /-/static/ in this file's own address.
  get server() {
    const own = import.meta.url.split("/-/static/")[0];
    return (this.getAttribute("server") || own).replace(/\/+$/, "");
  }

  get limit() {
    return Number(this.getAttribute("limit") || ROWS);
  }

  #made() {
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style];
    const [scroll, table, note] = [element("div"), element("table"), element("p")];
    const [caption, count] = [element("caption"), element("span")];
    const heading = document.createTextNode("");
    Object.assign(scroll, { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    note.setAttribute("role", "status");
    note.hidden = true;
    caption.append(heading, " ", count);
    const [head, body, more] = [element("thead"), element("tbody"), element("p")];
    table.part = "table";
    table.append(caption, head, body);
    scroll.append(table);
    more.hidden = true;
    root.append(scroll, more, note);
    return { scroll, table, head, body, heading, count, more, note };
  }

  #begin() {
    this.#watching?.stop();
    this.#watching = null;
    this.#forget();
    this.#order = ordering(this.getAttribute("sort"));
    const title = this.getAttribute("heading") || this.getAttribute("resource") || "";
    this.#parts.heading.data = title;
    this.#parts.scroll.setAttribute("aria-label", title || "Kubernetes objects");
    const accent = adapted(this.getAttribute("accent") ?? "");
    if (accent) this.style.setProperty("--kube-mirror-accent", accent);
    else this.style.removeProperty("--kube-mirror-accent");
    if (!/^[1-9]\d*$/.test(this.limit)) return this.#say(`limit="${this.getAttribute("limit")}" is no number of rows`);
    if (!this.getAttribute("resource")) return this.#say("Which resource? <kube-mirror resource=\"deployments\">");
    const url = new URL(`${this.server}/watch?as=row`, location.href);
    for (const [attribute, parameter] of Object.entries(PARAMETERS)) {
      const value = this.getAttribute(attribute);
      if (value) url.searchParams.set(parameter, value);
    }
    this.#watching = watch(url, {
      events: (list) => this.#take(list),
      columns: (byResource) => this.#titled(Object.values(byResource)[0]),
      complete: () => {
        if (!this.#complete) this.#draw(this.#complete = true);
      },
      state: (state, since, reason) => this.#told(state, since, reason),
    });
  }

  #forget() {
    this.#complete = false;
    this.#held.clear();
    this.#dirty.clear();
    this.#rows.clear();
    this.#parts.body.replaceChildren();
  }

  #titled(columns) {
    const named = ["Name", "Object"].find((each) => columns.some(({ name }) => name === each));  // events have no name
    this.#columns = columns.map((column) => ({ ...column, fixed: column.name === named }));
    const row = element("tr");
    for (const { name, description } of columns) {
      const cell = element("th");
      cell.scope = "col";
      cell.textContent = name;
      if (description) cell.title = description;
      row.append(cell);
    }
    this.#parts.head.replaceChildren(row);
  }

  #take(list) {
    for (const { type, object } of list) {
      const uid = object.metadata?.uid;
      if (type === "RESET") this.#forget();
      else if (type === "DELETED") this.#held.delete(uid);
      else {
        this.#held.set(uid, { object, place: placed(object) });
        this.#dirty.add(uid);
      }
    }
    this.#draw();
  }

  #draw() {
    const { body, count, more } = this.#parts;
    const sorted = [...this.#held].sort(([, one], [, other]) => this.#order(one.place, other.place));
    const shown = new Map(sorted.slice(0, this.limit));
    for (const [uid, row] of this.#rows) {
      if (shown.has(uid)) continue;
      row.remove();
      this.#rows.delete(uid);
    }
    let place = body.firstElementChild;
    for (const [uid, { object }] of shown) {
      if (place?.className === "none") place = null;
      let row = this.#rows.get(uid);
      if (!row) {
        row = this.#row(object);
        this.#rows.set(uid, row);
        this.#dirty.add(uid);
      }
      if (this.#dirty.has(uid)) this.#update(row, object);
      if (row === place) place = place.nextElementSibling;
      else body.insertBefore(row, place);
    }
    this.#dirty.clear();
    const none = body.querySelector(".none");
    if (sorted.length || !this.#complete) none?.remove();
    else if (!none) body.append(this.#none());
    count.textContent = String(sorted.length);
    const rest = sorted.length - shown.size;
    more.hidden = rest === 0;
    if (rest) more.replaceChildren(this.#link(this.#address([]), `${rest} more`));
  }

  #none() {
    const [row, cell] = [element("tr", { class: "none" }), element("td", { colspan: Math.max(1, this.#columns.length) })];
    cell.textContent = "None";
    row.append(cell);
    return row;
  }

  #row(object) {
    const row = element("tr");
    for (const { fixed: named } of this.#columns) {
      const cell = element(named ? "th" : "td");
      if (named) {
        cell.scope = "row";
        const link = this.#link(this.#address([object.metadata.namespace, object.metadata.name]), "");
        link.addEventListener("click", (event) => this.#selected(event, object));
        cell.append(link);
      }
      row.append(cell);
    }
    return row;
  }

  #update(row, object) {
    const ages = new Map((object.ages ?? []).map((each) => [each.column, each]));
    object.cells.forEach((value, index) => {
      if (row.cells[index]) show(row.cells[index], this.#columns[index], value, object.tones?.[index], ages.get(index));
    });
  }

  // A page may show it in its own way: preventDefault() keeps the link from being followed.
  #selected(event, object) {
    const { apiVersion, kind, metadata } = object;
    const detail = { apiVersion, kind, namespace: metadata.namespace ?? "", name: metadata.name };
    const options = { detail, bubbles: true, composed: true, cancelable: true };
    if (!this.dispatchEvent(new CustomEvent("kube-mirror:select", options))) event.preventDefault();
  }

  #link(address, text) {
    const link = element("a");
    Object.assign(link, { href: address, target: "_blank", rel: "noopener", textContent: text });
    return link;
  }

  #address(parts) {
    const path = [this.getAttribute("resource"), ...parts].filter(Boolean).map(encodeURIComponent).join("/");
    const url = new URL(`${this.server}/resources/${path}`, location.href);
    if (parts.length) return url.href;
    for (const [attribute, parameter] of Object.entries(PARAMETERS)) {
      const value = attribute === "resource" ? "" : this.getAttribute(attribute);
      if (value) url.searchParams.set(parameter, value);
    }
    return url.href;
  }

  #told(state, since, reason) {
    this.#parts.table.classList.toggle("dim", state !== "live" && state !== "paused");
    const ago = since ? ` since ${new Date(since).toLocaleTimeString()}` : "";
    if (state === "refused") this.#say(`Not shown: ${text(reason)}`);
    else if (state === "lost") this.#say(`Connection lost${ago}, resuming${reason ? `: ${text(reason)}` : ""}`);
    else if (state === "stale") this.#say(`The mirror has not heard its cluster${ago}: what you see may be out of date`);
    else this.#say("");
    this.dispatchEvent(new CustomEvent("kube-mirror:state", { detail: { state, since, reason }, bubbles: true, composed: true }));
  }

  #say(text) {
    this.#parts.note.hidden = !text;
    this.#parts.note.textContent = text;
  }
}

if (!customElements.get("kube-mirror")) customElements.define("kube-mirror", KubeMirror);
