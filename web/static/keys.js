// The keyboard: / searches, j and k walk the rows, Enter opens the one that has the focus, ? tells these keys.

const KEYS = [
  ["/", "search"],
  ["j", "next row"],
  ["k", "previous row"],
  ["Enter", "open the row"],
  ["?", "these keys"],
  ["Esc", "close"],
];
const ROW = "tbody th[scope=row] a";

let help = null;

function overlay() {
  if (help) return help;
  help = document.createElement("dialog");
  help.className = "help";
  help.setAttribute("aria-labelledby", "help-title");
  const title = document.createElement("h2");
  title.id = "help-title";
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [key, what] of KEYS) {
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

function walk(step) {
  const links = [...document.querySelectorAll(ROW)];
  if (!links.length) return;
  const row = document.activeElement?.closest("tbody tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest", inline: "nearest" });
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
      const search = document.querySelector("input[type=search]") ?? document.querySelector("form[role=search] input");
      if (!search) return;
      search.focus();
      search.select();
      break;
    }
    case "j": walk(1); break;
    case "k": walk(-1); break;
    case "?":
      if (overlay().open) help.close();
      else help.showModal();
      break;
    default: return;
  }
  event.preventDefault();
});
