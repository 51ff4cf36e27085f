// Draws one printed cell, as cells.html does on the server. Whatever a value says, it is text.
import { aged } from "./ages.js";

// What one cell shows at most, and what cannot be seen or turns the direction of a line (serve/visible.py).
const LONGEST = 300;
const ODD = new RegExp(
  "[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e007f}]", "gu");

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
  const told = { bar: age || fixed ? undefined : part(type, value), tone: tone || undefined, since: age?.since, before: age?.before, after: age?.after };
  for (const [name, said] of Object.entries(told)) {
    if (said !== undefined) cell.dataset[name] = said;
    else delete cell.dataset[name];
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
  return linked(value);
}

function word(value, tone) {
  const made = element("span", { class: `word word-${tone}`, title: text(value) });
  const dot = element("span", { class: `dot dot-${tone}`, "aria-hidden": true });
  made.append(dot, ` ${text(value.split(":")[0])}`);
  return made;
}

function tag(each) {
  const made = element("span", { class: "tag" });
  made.textContent = text(each);
  return made;
}

// How long its bar is, in twentieths (cells.html); none where it is no ratio.
function part(type, value) {
  const ratio = type === "verdict" || type === "versions" ? null : /^(\d{1,9})\/(\d{1,9})$/.exec(value);
  const [ready, wanted] = ratio ? [Number(ratio[1]), Number(ratio[2])] : [0, 0];
  if (!wanted) return undefined;
  return ready >= wanted ? 20 : Math.min(19, Math.max(ready ? 1 : 0, Math.floor((20 * ready) / wanted)));
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
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}
