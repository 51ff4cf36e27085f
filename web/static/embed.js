// Tells the page around a frame how high this one is, whenever that changes. Only the parent that the address
// declares is told, and the mirror has checked that it may frame this page.
const parent_ = document.documentElement.dataset.parent;
let told = 0;

function tell() {
  const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
  if (height === told) return;
  told = height;
  window.parent.postMessage({ type: "kubemirror:height", height, path: location.pathname }, parent_);
}

if (parent_ && window.parent !== window) new ResizeObserver(tell).observe(document.documentElement);
