// Keeps a page true. A watch tells that something changed; the page is then asked for again and what differs is
// put in its place, so that cells are made on the server only. Rows stay the same elements: focus, selection and
// scroll are not lost. A hidden tab asks for nothing. Without scripts a page is as of its loading.
import { watch } from "./watch.js";

const subject = document.querySelector("[data-watch], [data-live]");
const connection = document.querySelector("#connection");
const announcements = document.querySelector("#announcements");

// A burst is one refresh: twice a second is as often as a table can be read.
const BURST_MS = 500;
// Ages go on although nothing changes, and announcements come in batches.
const TICK_MS = subject?.dataset.live ? 5000 : 10000;
// A tab that was hidden for long need not remember each row.
const REMEMBERED = 1000;
const PARTS = ["#freshness", "#waiting", "#counted", "#facts", ".labels", "pre.yaml code", ".pages"];

let watching = null;
let connected = false;
let opened = false;
let scheduled = false;
let busy = false;
let resumed = false;
let tookMs = 0;
let announced = 0;
let changed = new Set();

function live() {
  show("live", "live");
  subject.classList.remove("lost");
}

function lost() {
  if (connection.dataset.state !== "lost") {
    show("lost", `connection lost at ${new Date().toLocaleTimeString()}, resuming`);
  }
  subject.classList.add("lost");
}

function show(state, text) {
  connection.dataset.state = state;
  if (connection.textContent !== text) connection.textContent = text;
}

function soon() {
  if (scheduled || busy || document.hidden) return;
  scheduled = true;
  setTimeout(() => requestAnimationFrame(refresh), Math.max(BURST_MS, 5 * tookMs));
}

async function refresh() {
  scheduled = false;
  busy = true;
  let answered = true;
  const marks = changed;
  const [asked, before] = [resumed, watching?.cursor];
  changed = new Set();
  resumed = false;
  const started = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: asked ? "reload" : "default" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok) replace(page, marks);
    else refused(page);
    if (subject.dataset.live) live();
    else if (asked && answer.ok) startAgain(page, before);
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
  if (answered && changed.size) soon();
}

function refused(page) {
  const banner = document.querySelector("#freshness");
  const said = page.querySelector(".banner")?.textContent;
  if (!banner || !said) return;
  banner.hidden = false;
  banner.textContent = `${said.trim()}. What you see is the last that was known.`;
  subject.classList.add("stale");
}

function startAgain(page, before) {
  // A server whose resourceVersions are behind ours (restored, or begun anew) would send nothing for long.
  const fresh = page.querySelector("[data-cursor]")?.dataset.cursor ?? "";
  if (Number(fresh) < Number(before)) watching.from(fresh);
}

function replace(page, marks) {
  const stale = page.querySelector("[data-watch], [data-live]")?.classList.contains("stale") ?? false;
  subject.classList.toggle("stale", stale);
  for (const part of PARTS) {
    const [held, fresh] = [document.querySelector(part), page.querySelector(part)];
    if (!held || !fresh) continue;
    held.hidden = fresh.hidden;
    morph(held, fresh);
  }
  if (subject.tBodies) {
    const fresh = page.querySelector("[data-watch], [data-live]");
    if (!subject.tHead.isEqualNode(fresh.tHead)) morph(subject.tHead, fresh.tHead);
    patch(subject.tBodies[0], fresh.tBodies[0], marks);
  }
  announced += [...marks].filter(Boolean).length;
}

// Makes the children of `held` equal to those of `fresh`, and touches only those that differ.
function morph(held, fresh) {
  const nodes = [...held.childNodes];
  [...fresh.childNodes].forEach((node, index) => {
    const old = nodes[index];
    if (!old) held.append(document.importNode(node, true));
    else if (old.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) {
      if (old.data !== node.data) old.data = node.data;
    } else if (!old.isEqualNode(node)) old.replaceWith(document.importNode(node, true));
  });
  nodes.slice(fresh.childNodes.length).forEach((node) => node.remove());
}

function patch(body, fresh, marks) {
  const key = (row) => row.dataset.uid ?? "";
  const kept = new Set([...fresh.rows].map(key));
  for (const row of [...body.rows]) {
    if (kept.has(key(row))) continue;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    if (row.contains(document.activeElement)) next?.querySelector("a")?.focus({ preventScroll: true });
    row.remove();
  }
  const held = new Map([...body.rows].map((row) => [key(row), row]));
  let place = body.rows[0] ?? null;
  for (const row of [...fresh.rows]) {
    let mine = held.get(key(row));
    if (mine) update(mine, row, marks.has(key(row)));
    else {
      mine = document.importNode(row, true);
      if (marks.has(key(row))) mine.classList.add("changed");
    }
    if (mine === place) place = place.nextElementSibling;
    else move(body, mine, place);
  }
}

function move(body, row, place) {
  if (row.isConnected && body.moveBefore) return body.moveBefore(row, place);  // keeps the focus
  const focused = row.contains(document.activeElement) ? document.activeElement : null;
  body.insertBefore(row, place);
  focused?.focus({ preventScroll: true });
}

function update(row, fresh, flash) {
  row.className = fresh.className;
  row.title = fresh.title;
  [...fresh.cells].forEach((cell, index) => {
    const old = row.cells[index];
    if (old?.innerHTML === cell.innerHTML && old.dataset.tone === cell.dataset.tone) return;
    const mine = document.importNode(cell, true);
    if (flash && mine.dataset.tone !== "age") mine.classList.add("changed");
    if (old) old.replaceWith(mine);
    else row.append(mine);
  });
  [...row.cells].slice(fresh.cells.length).forEach((cell) => cell.remove());
}

function follow() {
  const url = new URL(subject.dataset.watch, location.href);
  const cursor = subject.dataset.cursor ?? "";
  url.searchParams.set("snapshot", "false");  // the page is the snapshot
  watching = watch(url, {
    cursor,
    events(list) {
      for (const { object } of list) {
        if (changed.size < REMEMBERED) changed.add(object.metadata?.uid ?? "");
      }
      soon();
    },
    state(state) {
      connected = state !== "lost" && state !== "paused";
      if (state === "lost") {
        opened = true;
        return lost();
      }
      if (!connected) return;
      live();
      // What happened before this connection is perhaps not told by it.
      resumed = resumed || opened || !cursor;
      if (subject.classList.contains("stale") !== (state === "stale")) changed.add("");
      opened = true;
      if (resumed || changed.size) soon();
    },
  });
}

if (subject) {
  document.addEventListener("visibilitychange", soon);
  setInterval(() => {
    if (!watching || connected) soon();
    if (announced && announcements) announcements.textContent = `${announced} changed`;
    announced = 0;
  }, TICK_MS);
  if (subject.dataset.watch) follow();
  else live();
}
