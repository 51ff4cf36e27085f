// Draws one printed cell, as cells.html does on the server. Whatever a value says, it is text.
import { aged } from "./ages.js";

// Characters that turn the direction of text (serve/pages.py has the same), and what one cell shows at most.
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const LONGEST = 300;

export function text(value) {
  if (value === null || value === undefined) return "";
  let shown = String(value);
  if (shown.length > LONGEST) {
    const characters = [...shown];
    if (characters.length > LONGEST) shown = `${characters.slice(0, LONGEST - 1).join("")}…`;
  }
  return shown.replace(BIDI, "\ufffd");
}

// Makes `cell` show `value`, and tells whether that was a change for the eye.
export function show(cell, value, tone, age) {
  const holder = cell.querySelector(":scope > a") ?? cell;
  if (tone) cell.dataset.tone = tone;
  else delete cell.dataset.tone;
  for (const part of ["since", "before", "after"]) {
    if (age?.[part] !== undefined) cell.dataset[part] = age[part];
    else delete cell.dataset[part];
  }
  const shown = age ? aged(age) : text(value);
  if (holder.textContent === shown) return false;
  holder.textContent = shown;
  return !age;
}
