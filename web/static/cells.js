// Draws one printed cell, as cells.html does on the server. Whatever a value says, it is text.
import { aged } from "./ages.js";

// What one cell shows at most, and what cannot be seen or turns the direction of a line (serve/visible.py).
const LONGEST = 300;
const ODD = new RegExp(
  "[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e007f}]", "gu");
const DOTS = {
  bad: ["path", { d: "M5 0 10 5 5 10 0 5z" }],
  warn: ["path", { d: "M5 0.5 10 9.5H0z" }],
  busy: ["path", { d: "M5 .8a4.2 4.2 0 1 0 4.2 4.2H7.4A2.4 2.4 0 1 1 5 2.6z" }],
  good: ["circle", { cx: 5, cy: 5, r: 4.2 }],
};
const FLAT = ["path", { d: "M1 4h8v2H1z" }];

export function text(value) {
  if (value === null || value === undefined) return "";
  let shown = String(value);
  if (shown.length > LONGEST) {
    const characters = [...shown];
    if (characters.length > LONGEST) shown = `${characters.slice(0, LONGEST - 1).join("")}…`;
  }
  return shown.replace(ODD, (odd) => `⟨U+${odd.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// Makes `cell` show `value`, and tells whether that was a change for the eye. fixed: its link leads to the object or
// namespace that it names, whatever the value.
export function show(cell, { type, fixed }, value, tone, age) {
  const holder = fixed ? cell.firstElementChild : cell;
  if (tone) cell.dataset.tone = tone;
  else delete cell.dataset.tone;
  for (const part of ["since", "before", "after"]) {
    if (age?.[part] !== undefined) cell.dataset[part] = age[part];
    else delete cell.dataset[part];
  }
  const shown = text(age ? aged(age) : value);
  if (shown === shownIn(holder, type)) return false;
  holder.replaceChildren(...(age || fixed ? [shown] : content(type, value, tone)));
  return !age;
}

// What `show` was given for what stands there, whoever has drawn it.
function shownIn(holder, type) {
  if (type === "verdict") return holder.firstElementChild?.title ?? "";
  if (type === "versions") return [...holder.children].map((each) => each.textContent).join(", ");
  return holder.textContent.trim();
}

// As the macro `content` draws it.
function content(type, value, tone) {
  if (value === null || value === undefined) return [];
  if (typeof value !== "string") return [text(value)];
  if (type === "verdict") return [word(value, tone)];
  if (type === "versions") return value.split(", ").flatMap((each) => [tag(each), " "]).slice(0, -1);
  const ratio = /^(\d{1,9})\/(\d{1,9})$/.exec(value);
  if (ratio && Number(ratio[2])) return [`${value} `, bar(Number(ratio[1]), Number(ratio[2]))];
  return linked(value);
}

function word(value, tone) {
  const made = element("span", { class: `word word-${tone}`, title: text(value) });
  const dot = drawn("svg", { class: `dot dot-${tone}`, viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": true });
  dot.append(drawn(...(DOTS[tone] ?? FLAT)));
  made.append(dot, ` ${text(value.split(":")[0])}`);
  return made;
}

function tag(each) {
  const made = element("span", { class: "tag" });
  made.textContent = text(each);
  return made;
}

function bar(ready, wanted) {
  const size = { viewBox: "0 0 100 4", width: 56, height: 4, preserveAspectRatio: "none", "aria-hidden": true };
  const made = drawn("svg", { class: "bar", ...size });
  const part = Math.min(100, Math.floor((100 * ready) / wanted));
  made.append(
    drawn("path", { class: "bar-all", d: "M0 0h100v4H0z" }),
    drawn("path", { class: ready >= wanted ? "bar-full" : "bar-part", d: `M0 0h${part}v4H0z` }),
  );
  return made;
}

// Only what is a valid address of the web as a whole: never another scheme, nor a name before the host
// (serve/visible.py).
const PART = "(?:[\\w!$&'()*+,./:;=?@~-]|%[0-9A-Fa-f]{2})*";
const ADDRESS = new RegExp(`^https?://(?:[\\w.-]+|\\[[0-9A-Fa-f:.]+\\])(?::\\d{1,5})?(?:[/?]${PART})?(?:#${PART})?$`);

function linked(value) {
  if (ADDRESS.test(value) && value.length <= 2000 && URL.canParse(value)) {
    const made = element("a", { href: value, rel: "noopener noreferrer nofollow" });
    made.textContent = text(value);
    return [made];
  }
  return [text(value)];
}

export function element(name, attributes = {}) {
  return dressed(document.createElement(name), attributes);
}

function drawn(name, attributes) {
  return dressed(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
}

function dressed(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
