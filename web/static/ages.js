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

export function tick(root, changed = () => {}) {
  for (const element of root.querySelectorAll("[data-since]")) {
    const text = aged(element.dataset);
    if (element.textContent === text) continue;
    element.textContent = text;
    changed(element);
  }
}
