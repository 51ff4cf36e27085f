// Follows a mirror's /watch for as long as a page is open. Whatever happens to the connection, it goes on after the
// last event; events are handed over once per painted frame; a hidden tab has no connection at all.
//
//   import { watch } from "./watch.js";
//   const watching = watch("/watch?resource=deployments&as=key", {
//     events(list) {},        // ADDED, MODIFIED, DELETED, and RESET: forget what you hold, a snapshot follows
//     state(state, since) {}, // "live", "stale" (the mirror lost its cluster), "lost" (no connection), "paused" (hidden)
//   });
//   watching.stop();
//
// Options: columns(byResource) hears what the cells of as=row mean; cursor to go on from; transport "websocket" or "sse" (default: what gets through); silentMs.

// A mirror says something every 15 s: three times that is more than a hiccup.
const SILENT_MS = 45000;
const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 30000;

const KINDS = { ADDED: "ADDED", MODIFIED: "MODIFIED", DELETED: "DELETED", RESET: "RESET", ERROR: "RESET" };

export function watch(address, options) {
  const { events, state = () => {}, columns = () => {}, transport = "", silentMs = SILENT_MS } = options;
  let { cursor = "" } = options;
  let connection = null, sse = transport === "sse", attempts = 0, heard = 0, retryMs = 0, timer = 0, told = "";
  let waiting = [];
  // Of a snapshot that is being told there is no cursor yet: how new it is at least, and whether any of it was told.
  let last = cursor, newest = 0, begun = false;

  function tell(now, since) {
    if (told !== (told = now + since)) state(now, since);
  }

  function take(frame) {
    if (frame.columns) columns(frame.columns);
    if (frame.type !== "ERROR") attempts = 0;
    if (frame.resourceVersion) {
      cursor = last = frame.resourceVersion;
      newest = 0;
      begun = false;
    }
    if (frame.type === "BOOKMARK") {
      tell(frame.state === "STALE" ? "stale" : "live", frame.staleSince);
    } else if (frame.type === "ERROR" && frame.object.code !== 410) {
      retryMs = 1000 * (frame.object.details?.retryAfterSeconds ?? 0);
    } else if (KINDS[frame.type]) {
      if (KINDS[frame.type] === "RESET") cursor = "";
      else if (!frame.resourceVersion) {
        newest = Math.max(newest, frame.object.metadata.resourceVersion ?? 0);
        begun = true;
      }
      hand({ ...frame, type: KINDS[frame.type] });
    }
  }

  function hand(frame) {
    if (waiting.push(frame) === 1) requestAnimationFrame(flush);
  }

  function flush() {
    const list = waiting;
    waiting = [];
    events(list);
  }

  function connect() {
    const url = new URL(address, location.href);
    if (cursor) url.searchParams.set("resourceVersion", cursor);
    if (url.searchParams.get("snapshot") !== "false") {
      url.searchParams.set("onExpired", "snapshot");
      if (!cursor) beginAnew(url);
    }
    if (!sse) url.protocol = url.protocol.replace("http", "ws");
    const mine = connection = sse ? new EventSource(url, { withCredentials: true }) : new WebSocket(url);
    let opened = false;
    heard = performance.now();
    mine.onopen = () => { opened = true; tell("live"); };
    mine.onmessage = ({ data }) => {
      heard = performance.now();
      const message = JSON.parse(data);
      (message.events ?? [message]).forEach(take);
    };
    mine[sse ? "onerror" : "onclose"] = () => {
      if (!opened && !transport) sse = !sse;  // a proxy may not pass WebSockets on
      lost();
    };
  }

  // With a snapshot that is not older than what was told, whichever replica it comes from.
  function beginAnew(url) {
    const single = url.searchParams.getAll("resource").length === 1 && !last.includes("=");
    const least = single ? Math.max(newest, ...last.split("~")) : last;
    if (least) url.searchParams.set("resourceVersion", least);
    if (least) url.searchParams.set("snapshot", "true");
    if (begun) hand({ type: "RESET", object: {} });
    begun = false;
  }

  function close() {
    clearTimeout(timer);
    if (connection) connection.onopen = connection.onmessage = connection.onclose = connection.onerror = null;
    connection?.close();
    connection = null;
  }

  function lost() {
    close();
    tell("lost", new Date().toISOString());
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempts++) * (0.5 + Math.random());
    timer = setTimeout(connect, Math.max(pause, retryMs * (1 + Math.random() / 2)));
    retryMs = 0;
  }

  function turned() {
    close();
    if (document.hidden) tell("paused");
    else connect();
  }

  const listening = setInterval(() => connection && performance.now() - heard > silentMs && lost(), silentMs / 9);
  document.addEventListener("visibilitychange", turned);
  turned();
  return {
    get cursor() { return cursor; },
    from(other) { cursor = last = other; newest = attempts = 0; close(); connect(); },
    stop() { clearInterval(listening); document.removeEventListener("visibilitychange", turned); close(); },
  };
}
