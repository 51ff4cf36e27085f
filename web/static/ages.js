// Ages that go on by themselves, as kubectl prints them (views/duration.py says the same on the server).
// An element with data-since (seconds since 1970) has nothing but its age as text, between data-before and data-after.

const MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, YEAR = 365 * DAY;
// [below, large unit, small unit]: two figures where there is a small one.
const FORMS = [
  [2 * MINUTE, [1, "s"]],
  [10 * MINUTE, [MINUTE, "m"], [1, "s"]],
  [3 * HOUR, [MINUTE, "m"]],
  [8 * HOUR, [HOUR, "h"], [MINUTE, "m"]],
  [2 * DAY, [HOUR, "h"]],
  [8 * DAY, [DAY, "d"], [HOUR, "h"]],
  [2 * YEAR, [DAY, "d"]],
  [8 * YEAR, [YEAR, "y"], [DAY, "d"]],
  [Infinity, [YEAR, "y"]],
];

// The server's clock is the one that counts; answers tell it.
let aheadSeconds = 0;

export function heard(answer) {
  const told = Date.parse(answer.headers.get("date"));
  // Within a second it is the answer's own time that differs.
  if (told) aheadSeconds = Math.abs(told - Date.now()) < 2000 ? 0 : (told - Date.now()) / 1000;
}

export function now() {
  return Date.now() / 1000 + aheadSeconds;
}

export function age(seconds) {
  const whole = Math.max(0, Math.trunc(seconds));
  const [, [large, largeUnit], small] = FORMS.find(([below]) => whole < below);
  const rest = small ? Math.floor((whole % large) / small[0]) : 0;
  return `${Math.floor(whole / large)}${largeUnit}${rest ? rest + small[1] : ""}`;
}

export function aged({ since, before = "", after = "" }) {
  return `${before}${age(now() - since)}${after}`;
}

// Ages that go on at once: so many take some 10 ms to lay out. More go on one part after the other.
const AT_ONCE = 125, PARTS = 4;

export class Ages {
  // before, changed: called with each element that is about to say something else, and does.
  constructor(root, { before = () => {}, changed = () => {} } = {}) {
    Object.assign(this, { root, before, changed, part: 0, timer: 0 });
  }

  // Each age goes on once in everyMs, but for a tab that is hidden.
  start(everyMs) {
    this.timer = setInterval(() => document.hidden || this.go(), everyMs / PARTS);
  }

  stop() {
    clearInterval(this.timer);
  }

  go() {
    this.part = (this.part + 1) % PARTS;
    const all = this.root.querySelectorAll("[data-since]");
    const size = Math.max(AT_ONCE, Math.ceil(all.length / PARTS));
    const until = Math.min(all.length, (this.part + 1) * size);
    for (let at = this.part * size; at < until; at += 1) this.tell(all[at]);
  }

  tell(element) {
    const text = aged(element.dataset);
    if (element.textContent === text) return;
    this.before(element);
    if (element.firstChild?.nodeType === Node.TEXT_NODE && !element.firstChild.nextSibling) element.firstChild.data = text;
    else element.textContent = text;
    this.changed(element);
  }
}
