// Runs inside the browser, beside page.js: what the server says of layers, and what arrives.

/** Keeps what `layers` events say of a watcher, with the time of each. Call it before `connect`. */
export function listen(watcher) {
  const heard = [];
  watcher.view.on("broadcastEvent", (event) => {
    if (event.name === "layers") heard.push({ at: performance.now(), medias: event.data.medias });
  });
  watcher.layers = heard;
  return watcher;
}

export const EVENTS = ["active", "inactive", "stopped", "layers"];

/** The newest report of a mid. */
export const latest = (watcher, mid) => watcher.layers.at(-1)?.medias[mid];

/** What can be chosen by size, highest first: one entry for each height, with all its temporal layers. */
export function sizes(watcher, mid) {
  const best = new Map();
  for (const entry of latest(watcher, mid)?.layers ?? []) {
    if (entry.height && !(best.get(entry.height)?.temporalLayerId >= entry.temporalLayerId)) best.set(entry.height, entry);
  }
  return [...best.values()].sort((a, b) => b.height - a.height);
}

/** The height of what the server says it sends, or null. */
export function heightOf(media) {
  const { selected } = media ?? {};
  if (!selected) return null;
  const entries = media.layers.filter((one) => one.encodingId === selected.encodingId);
  const is = (entry, key) => entry[key] === 255 || entry[key] === selected[key];
  return (entries.find((one) => is(one, "spatialLayerId")) ?? entries[0])?.height ?? null;
}

/** Resolves with the time at which the server first said, after `since`, that it sends a height that `fits`. */
export function untilSaid(t, watcher, mid, since, fits, what, timeout) {
  return t.until(() => {
    const found = watcher.layers.find(({ at, medias }) => at >= since && fits(heightOf(medias[mid]) ?? 0));
    return found?.at;
  }, `${what}; selected ${JSON.stringify(latest(watcher, mid)?.selected)}`, timeout);
}

/** Resolves with the time at which the received picture has a height that `fits`. */
export function untilShown(t, watcher, mid, fits, what, timeout) {
  return t.until(async () => {
    const { frameHeight = 0 } = await watcher.stats(mid);
    return fits(frameHeight) && performance.now();
  }, `${what}`, timeout);
}

/** Frames decoded per second over a while. */
export async function rate(t, watcher, mid, milliseconds) {
  const begun = performance.now();
  const { frames } = await t.observe(watcher, mid, milliseconds);
  return (frames * 1000) / (performance.now() - begun);
}
