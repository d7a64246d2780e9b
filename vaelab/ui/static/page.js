// What the widgets' scripts share: elements, buffers, and the page's colours.

export function element(kind, classes, parent, properties = {}) {
  const made = Object.assign(document.createElement(kind), { className: classes, ...properties });
  parent.append(made);
  return made;
}

export function numbers(value, Kind) {
  // Buffers come as DataView, or as Uint8Array in Colab; a copy is aligned.
  if (!value?.byteLength) return new Kind(0);
  return new Kind(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
}

export function isDark(el) {
  // By the ink that the page itself writes with there; outside a page there is none yet.
  const ink = getComputedStyle(el).color.match(/[\d.]+/g) ?? [0, 0, 0];
  return Number(ink[0]) + Number(ink[1]) + Number(ink[2]) > 380;
}

export function watch(el, sized, themed) {
  // Calls `sized` when an element's size changes and `themed` when the page turns light or dark; returns how to end it.
  const size = new ResizeObserver(sized);
  size.observe(el);
  const theme = new MutationObserver(themed);
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "class"] });
  return () => (size.disconnect(), theme.disconnect());
}

export function listen(model, calls) {
  // Calls for the changes of a model, by event; returns how to end it.
  for (const [name, call] of Object.entries(calls)) model.on(name, call);
  return () => Object.entries(calls).forEach(([name, call]) => model.off(name, call));
}

export function keysWithin(el, handle) {
  // Keys pressed within an element, before the page has them: in JupyterLab letters are commands on cells. Those with
  // Ctrl, Alt or Meta stay the page's. `handle(event, target)` tells whether a key meant something.
  const listener = (event) => {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || !el.contains(target)) return;
    event.stopPropagation();
    if (handle(event, target)) event.preventDefault();
  };
  window.addEventListener("keydown", listener, true);
  return () => window.removeEventListener("keydown", listener, true);
}
