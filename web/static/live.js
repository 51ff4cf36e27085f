// Keeps a page's table true: one WebSocket tells what changed, the rows are then asked for as the page's own
// rows, so that cells are made in one place only. Without scripts the page is simply as of when it was loaded.
const table = document.querySelector("table[data-watch]");
const facts = document.querySelector("#facts[data-watch]");
const subject = table ?? facts;
const banner = document.querySelector("#freshness");
const connection = document.querySelector("#connection");
const announcements = document.querySelector("#announcements");

let cursor = subject?.dataset.cursor ?? "";
let attempts = 0;
let waiting = false;
let changed = new Set();

function note(text) {
  if (connection) connection.textContent = text;
}

function freshness(frame) {
  const stale = frame.state !== "SYNCED";
  subject.classList.toggle("stale", stale);
  if (!banner) return;
  banner.hidden = !stale;
  if (stale) banner.textContent = `${frame.state}${frame.staleSince ? ` since ${frame.staleSince}` : ""}. What you see may be out of date.`;
}

async function refresh() {
  waiting = false;
  const uids = changed;
  changed = new Set();
  let page;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    for (const uid of uids) changed.add(uid);
    return;
  }
  if (table) replaceRows(page, uids);
  else replaceFacts(page);
}

function replaceRows(page, uids) {
  const fresh = page.querySelector("#objects tbody");
  const body = table.tBodies[0];
  if (!fresh) return;
  const held = new Map([...body.rows].map((row) => [row.dataset.uid, row]));
  const rows = [...fresh.rows].map((row) => {
    const old = held.get(row.dataset.uid);
    const mine = document.importNode(row, true);
    if (old && old.contains(document.activeElement)) return old.innerHTML === mine.innerHTML ? old : update(old, mine);
    if (!old || old.innerHTML !== mine.innerHTML) {
      if (uids.has(row.dataset.uid)) mine.classList.add("changed");
      return mine;
    }
    return old;
  });
  body.replaceChildren(...rows);
  const count = page.querySelector("#count");
  if (count) document.querySelector("#count").textContent = count.textContent;
  if (announcements) announcements.textContent = `${uids.size} changed`;
}

function update(old, fresh) {
  // The focused row stays the same element, so that the focus is not lost.
  [...fresh.cells].forEach((cell, index) => {
    if (old.cells[index] && old.cells[index].innerHTML !== cell.innerHTML && !old.cells[index].contains(document.activeElement)) {
      old.cells[index].replaceWith(cell);
    }
  });
  return old;
}

function replaceFacts(page) {
  for (const selector of ["#facts", "pre.yaml"]) {
    const fresh = page.querySelector(selector);
    const held = document.querySelector(selector);
    if (fresh && held && fresh.innerHTML !== held.innerHTML) held.replaceChildren(...document.importNode(fresh, true).childNodes);
  }
}

function soon() {
  if (waiting || document.hidden) return;
  waiting = true;
  // A burst is one refresh: twice a second is as often as a table can be read.
  setTimeout(() => requestAnimationFrame(refresh), 500);
}

function connect() {
  const url = new URL(subject.dataset.watch, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  if (cursor) url.searchParams.set("resourceVersion", cursor);
  else url.searchParams.set("snapshot", "false");
  const blind = !cursor;
  const socket = new WebSocket(url);
  socket.onopen = () => {
    if (!blind) return;
    changed.add("");  // what happened before this socket is not told by it
    soon();
  };
  socket.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    attempts = 0;
    note("· live");
    if (frame.type === "ERROR") {
      cursor = frame.object?.code === 410 ? "" : (frame.resourceVersion ?? cursor);
      changed.add("");
      soon();
      return;
    }
    if (frame.resourceVersion) cursor = frame.resourceVersion;
    if (frame.type === "BOOKMARK") return freshness(frame);
    changed.add(frame.object?.metadata?.uid ?? "");
    soon();
  };
  socket.onclose = () => {
    attempts += 1;
    note("· connection lost, resuming");
    const pause = Math.min(30000, 500 * 2 ** Math.min(attempts, 6)) * (0.5 + Math.random());
    setTimeout(connect, pause);
  };
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && changed.size) soon();
});

if (subject) connect();
