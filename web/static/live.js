// Keeps a page true. A list is told by push what its rows are, and changes them in place (rows.js); of any other page
// a watch tells that something changed, the page is asked for again, and what differs is put in its place (morph.js).
// A hidden tab asks for nothing. Without scripts a page is as of its loading.
import { Ages, heard } from "./ages.js";
import { morph } from "./morph.js";
import { Rows } from "./rows.js";
import { watch } from "./watch.js";

const subject = document.querySelector("[data-watch], [data-live]");
const connection = document.querySelector("#connection");
const announcements = document.querySelector("#announcements");

// A burst is one refresh: twice a second is as often as a page can be read. Of a list, it only fills up what push
// cannot know, which may take its time.
const BURST_MS = 500, REFILL_MS = 2000;
const AGES_MS = 1000;
// What no watch tells (ages without a beginning, how long a store has been stale); announcements come in batches.
const TICK_MS = subject?.dataset.live ? 5000 : 10000;
// A tab that was hidden for long need not remember each row.
const REMEMBERED = 1000;
const PARTS = "[data-part], #freshness, #waiting, #counted, #facts, .labels, pre.yaml code, .pages";

let watching = null;
let rows = null;
let connected = false;
let opened = false;
let scheduled = false;
let busy = false;
let resumed = false;
let wanted = false;  // a refresh, whatever is known to have changed
let tookMs = 0;
let announced = 0;
let changed = new Set();
let meanwhile = [];  // events of a list that come while its page is on its way

function live() {
  if (subject.classList.contains("stale")) show("stale", "stale");
  else if (subject.hasAttribute("data-partly")) show("stale", "partly stale");
  else show("live", "live");
  mark("lost", false);
}

function lost() {
  if (connection.dataset.state !== "lost") {
    show("lost", `connection lost at ${new Date().toLocaleTimeString()}, resuming`);
  }
  mark("lost", true);
}

// All of a page is grey while any of it may be out of date: said of <main>, since to look for it with :has() whenever
// a row changes takes longer than to draw the row.
function mark(name, on) {
  subject.classList.toggle(name, on);
  subject.closest("main").classList.toggle("dated", subject.matches(".stale, .lost"));
}

function show(state, text) {
  connection.dataset.state = state;
  if (connection.textContent !== text) connection.textContent = text;
}

function soon(afterMs = BURST_MS) {
  if (scheduled || busy || document.hidden) return;
  scheduled = true;
  setTimeout(() => requestAnimationFrame(refresh), Math.max(afterMs, 5 * tookMs));
}

async function refresh() {
  scheduled = false;
  busy = true;
  wanted = false;
  let answered = true;
  const marks = changed;
  const [asked, before] = [resumed, watching?.cursor];
  changed = new Set();
  meanwhile = [];
  resumed = false;
  const started = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: asked ? "reload" : "default" });
    heard(answer);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok) replace(page, marks);
    else refused(page);
    if (!watching || connected) live();
    if (!subject.dataset.live && asked && answer.ok) startAgain(page, before);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;  // fetch() tells a lost connection so
    marks.forEach((uid) => changed.add(uid));
    resumed = resumed || asked;
    answered = false;
    lost();
  } finally {
    busy = false;
    tookMs = performance.now() - started;
  }
  if (answered && (changed.size || wanted)) soon();
}

function refused(page) {
  const banner = document.querySelector("#freshness");
  const said = page.querySelector(".banner")?.textContent;
  if (!banner || !said) return;
  banner.hidden = false;
  banner.textContent = `${said.trim().replace(/([^.?!])$/, "$1.")} What you see is the last that was known.`;
  mark("stale", true);
}

function startAgain(page, before) {
  // A server whose resourceVersions are behind ours (restored, or begun anew) would send nothing for long.
  const fresh = page.querySelector("[data-cursor]")?.dataset.cursor ?? "";
  if (Number(fresh) < Number(before)) watching.from(fresh);
}

function replace(page, marks) {
  const fresh = page.querySelector("[data-watch], [data-live]");
  mark("stale", fresh?.classList.contains("stale") ?? false);
  subject.toggleAttribute("data-partly", fresh?.hasAttribute("data-partly") ?? false);
  const touched = (element) => {
    const row = element.closest("tr");
    const cell = element.closest("td, th");
    if (rows && cell && row && marks.has(row.dataset.uid) && !cell.dataset.since) rows.flash(cell);
  };
  for (const held of document.querySelectorAll(PARTS)) {
    const other = page.querySelector(selectorOf(held));
    if (other && !held.parentElement.closest(PARTS)) morph(held, other, touched);
  }
  if (fresh && subject.tBodies && !subject.closest(PARTS)) {
    morph(subject.tHead, fresh.tHead);
    morph(subject.tBodies[0], fresh.tBodies[0], touched);
  }
  if (rows) {
    subject.dataset.cursor = fresh.dataset.cursor;
    rows.adopt();
    rows.take(meanwhile);  // the page may be older than what came while it was on its way
  }
  announced += [...marks].filter(Boolean).length;
}

function selectorOf(part) {
  if (part.dataset.part) return `[data-part="${CSS.escape(part.dataset.part)}"]`;
  if (part.id) return `#${CSS.escape(part.id)}`;
  return PARTS.split(", ").find((selector) => part.matches(selector));
}

function events(list) {
  if (subject.dataset.live) return;  // it is asked for as often as its ticks tell
  if (rows) {
    if (list.some(({ type }) => type === "RESET")) resumed = true;
    const told = list.filter(({ type }) => type !== "RESET");
    if (busy) meanwhile.push(...told);
    rows.take(told);
    if (resumed) soon();
    return;
  }
  for (const { object } of list) {
    if (changed.size < REMEMBERED) changed.add(object.metadata?.uid ?? "");
  }
  soon();
}

function follow() {
  const url = new URL(subject.dataset.watch, location.href);
  const cursor = subject.dataset.cursor ?? "";
  if (url.searchParams.get("as") === "row") {
    rows = new Rows(subject, { refill() { wanted = true; soon(REFILL_MS); } });
  }
  url.searchParams.set("snapshot", "false");  // the page is the snapshot
  watching = watch(url, {
    cursor,
    events,
    state(state, since, reason) {
      connected = state === "live" || state === "stale";
      if (state === "refused") {
        opened = true;
        mark("lost", true);
        return show("lost", `not live: ${reason}`);
      }
      if (state === "lost") {
        opened = true;
        return lost();
      }
      if (!connected) return;
      // What happened before this connection is perhaps not told by it.
      resumed = resumed || opened || !cursor;
      if (subject.classList.contains("stale") !== (state === "stale")) {
        if (!subject.dataset.live) mark("stale", state === "stale");
        wanted = true;
      }
      live();
      opened = true;
      if (resumed || wanted || changed.size) soon();
    },
  });
}

function announce() {
  const count = announced + (rows?.changed ?? 0);
  announced = 0;
  if (rows) rows.changed = 0;
  if (!count || !announcements) return;
  announcements.textContent = rows ? `${count} changes, ${rows.total} in all` : `${count} changed`;
}

if (subject) {
  document.addEventListener("visibilitychange", () => soon());
  const ages = { before: (element) => rows?.growing(element), changed: (element) => rows?.grew(element) };
  new Ages(document, ages).start(AGES_MS);
  setInterval(() => {
    if (!rows && (!watching || connected)) soon();
    if (rows && subject.classList.contains("stale")) soon();
    announce();
  }, TICK_MS);
  if (subject.dataset.watch) follow();
  else live();
}
