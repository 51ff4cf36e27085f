// Makes an element equal to a fresh one and touches only what differs, so that focus, selection and scroll stay.
// Children with data-uid or id are the same ones wherever they stand. `touched` hears of each element that changed.

// What a reader has done to a page is not undone.
const KEPT = new Set(["open"]);

export function morph(held, fresh, touched = () => {}) {
  if (held.isEqualNode(fresh)) return;
  for (const name of held.getAttributeNames()) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) held.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (held.getAttribute(name) !== value && !KEPT.has(name)) held.setAttribute(name, value);
  }
  const wanted = new Set([...fresh.children].map(key).filter(Boolean));
  const known = new Map();
  for (const child of [...held.children]) {
    if (!key(child)) continue;
    if (wanted.has(key(child))) known.set(key(child), child);
    else take(child);
  }
  let place = held.firstChild;
  for (const node of fresh.childNodes) {
    const same = key(node) ? known.get(key(node)) : place && !key(place) && place.nodeName === node.nodeName && place;
    if (!same) {
      held.insertBefore(document.importNode(node, true), place);
      touched(held);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else move(held, same, place);
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, node, touched);
    else if (same.data !== node.data) {
      same.data = node.data;
      touched(held);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function key(node) {
  return node.dataset?.uid || node.id || "";
}

// Takes an element away; whoever stood in it stands in its neighbour then.
export function take(element) {
  if (element.contains(document.activeElement)) {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    (next?.querySelector("th a") ?? next?.querySelector("a"))?.focus({ preventScroll: true });
  }
  element.remove();
}

export function move(parent, element, place) {
  if (element.isConnected && parent.moveBefore) return parent.moveBefore(element, place);  // keeps the focus
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(element, place);
  focused?.focus({ preventScroll: true });
}
