// Follows a mirror's /watch for as long as a page is open. Whatever happens to the connection, it goes on after the
// last event; events are handed over once per painted frame; a hidden tab has no connection at all.
//
//   import { watch } from "./watch.js";
//   const watching = watch("/watch?resource=deployments&as=key", {
//     events(list) {},        // ADDED, MODIFIED, DELETED, and RESET: forget what you hold, a snapshot follows
//     state(state, since, reason) {},
//       // "live", "stale" (the mirror lost its cluster), "lost" (no connection), "paused" (hidden tab), and
//       // "refused": what is asked for is a mistake or not allowed, as `reason` says; a mistake is not asked again
//   });
//   watching.stop();
//
// Options: columns(byResource) hears what the cells of as=row mean, complete() that all there is has been told; cursor to go on from; transport "websocket" or "sse" (default: what gets through); silentMs.

// A mirror says something every 15 s: three times that is more than a hiccup.
const SILENT_MS = 45000;
const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 30000;
// What is not allowed, or not there, may be so later. An answer that says why is there at once, or never.
const REFUSED_PAUSE_MS = 60000, ANSWER_MS = 10000;

const KINDS = { ADDED: "ADDED", MODIFIED: "MODIFIED", DELETED: "DELETED", RESET: "RESET", ERROR: "RESET" };

export function watch(address, options) {
  const { events, state = () => {}, columns = () => {}, complete = () => {}, transport = "", silentMs = SILENT_MS } = options;
  let { cursor = "" } = options;
  let connection = null, sse = transport === "sse", attempts = 0, heard = 0, retryMs = 0, timer = 0, told = "", lostAt = "", said = "";
  let waiting = [];
  // Of a snapshot that is being told there is no cursor yet: how new it is at least, and whether any of it was told.
  let last = cursor, newest = 0, begun = false;

  function tell(now, since, reason = "") {
    if (now === "live" || now === "stale") lostAt = said = "";
    if (told !== (told = [now, since, reason].join())) state(now, since, reason);
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
      requestAnimationFrame(complete);  // after what waits for the same frame
    } else if (frame.type === "ERROR" && frame.object.code !== 410) {
      said = frame.object.message ?? "";
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
      if (opened) lost();
      else asked(mine, url);
    };
  }

  // Of a connection that was never there a browser does not say why: an ordinary request for the same does.
  async function asked(mine, url) {
    url.protocol = url.protocol.replace("ws", "http");
    const answer = await request(url);
    if (mine !== connection) return;
    if (answer?.ok) {
      if (!transport) sse = !sse;  // a proxy may not pass WebSockets on
    } else if (answer && answer.status < 500 && answer.status !== 429 && answer.status !== 410) {
      return refused(answer.message, answer.status === 400 ? 0 : REFUSED_PAUSE_MS);
    } else if (answer) {
      said = answer.message;
      retryMs = answer.retryMs;
    } else if (url.origin !== location.origin && (await request(url, "no-cors"))) {
      const reason = `${url.host} answers, but not to this page: ${location.origin} has to be in its --allow-origin`;
      if (mine === connection) refused(reason, REFUSED_PAUSE_MS);
      return;
    }
    lost();
  }

  // The status and what is said of it; null where nothing came.
  async function request(url, mode = "cors") {
    const ending = new AbortController();
    const late = setTimeout(() => ending.abort(), ANSWER_MS);
    try {
      const credentials = mode === "cors" ? "include" : "omit";
      const answer = await fetch(url, { mode, credentials, headers: { accept: "application/json" }, signal: ending.signal });
      if (answer.ok || answer.type === "opaque") return { ok: true };
      const body = await answer.json().catch(() => ({}));  // a proxy's own page
      const { status } = answer;
      return { status, message: body.message ?? `HTTP ${status}`, retryMs: 1000 * (body.details?.retryAfterSeconds ?? 0) };
    } catch {
      return null;  // fetch() tells a lost connection so, and what an origin may not read
    } finally {
      clearTimeout(late);
      ending.abort();
    }
  }

  function refused(reason, pauseMs) {
    close();
    tell("refused", lostAt ||= new Date().toISOString(), reason);
    if (pauseMs) timer = setTimeout(connect, pauseMs * (1 + Math.random() / 2));
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
    tell("lost", lostAt ||= new Date().toISOString(), said);
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
