// Frames of a mirror: each is told who we are, and tells how high its page is.
for (const frame of document.querySelectorAll("iframe[data-mirror]")) {
  const address = new URL(frame.dataset.mirror);
  address.searchParams.set("parent", location.origin);
  window.addEventListener("message", ({ origin, source, data }) => {
    if (origin !== address.origin || source !== frame.contentWindow || data?.type !== "kubemirror:height") return;
    frame.height = data.height;
  });
  frame.src = address;
}
