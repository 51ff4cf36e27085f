// The keyboard: / searches, j and k walk the rows, Enter opens the one that has the focus, ? tells which of these work.

const ALWAYS = [["?", "these keys"], ["Esc", "close"]];
const SEARCH = [["/", "search"]];
const ROWS = [["j", "next row"], ["k", "previous row"], ["Enter", "open the row"]];

let help = null;

// As of now: a page tells only what does something on it.
function overlay() {
  help?.remove();
  help = document.createElement("dialog");
  help.className = "help";
  help.setAttribute("aria-labelledby", "help-title");
  const title = document.createElement("h2");
  title.id = "help-title";
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [key, what] of [...(search() ? SEARCH : []), ...(links().length ? ROWS : []), ...ALWAYS]) {
    const pair = document.createElement("div");
    const [term, meaning] = [document.createElement("dt"), document.createElement("dd")];
    const cap = document.createElement("kbd");
    cap.textContent = key;
    meaning.textContent = what;
    term.append(cap);
    pair.append(term, meaning);
    list.append(pair);
  }
  const form = document.createElement("form");
  form.method = "dialog";
  const close = document.createElement("button");
  close.textContent = "Close";
  form.append(close);
  help.append(title, list, form);
  document.body.append(help);
  return help;
}

function search() {
  return document.querySelector("input[type=search]") ?? document.querySelector("form[role=search] input");
}

// Of each row the link to what it is about, else its first one.
function links() {
  const rows = [...document.querySelectorAll("tbody tr")];
  return rows.map((row) => row.querySelector("th[scope=row] a") ?? row.querySelector("a")).filter(Boolean);
}

function walk(step) {
  const found = links();
  if (!found.length) return;
  const row = document.activeElement?.closest("tbody tr");
  const at = found.findIndex((link) => link.closest("tr") === row);
  const next = at < 0 ? (step > 0 ? 0 : found.length - 1) : Math.min(found.length - 1, Math.max(0, at + step));
  found[next].focus();
  found[next].scrollIntoView({ block: "nearest", inline: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (help?.open && event.key !== "?") return;
  switch (event.key) {
    case "/": {
      const field = search();
      if (!field) return;
      field.focus();
      field.select();
      break;
    }
    case "j": walk(1); break;
    case "k": walk(-1); break;
    case "?":
      if (help?.open) help.close();
      else overlay().showModal();
      break;
    default: return;
  }
  event.preventDefault();
});
