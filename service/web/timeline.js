/** The window of live traffic as lines over time, across a swap of versions. */

/**
 * Continue a series of the served version by that of the one before, where it has no rows.
 * @param {{start: string, resolution_s: number, rows: number[], tasks: Object}} series of the served version
 * @param {Object|null} before the same of the version before
 */
export function joined(series, before) {
  const sameTasks = before && Object.keys(series.tasks).join() === Object.keys(before.tasks).join();
  if (!sameTasks || before.resolution_s !== series.resolution_s) return series;
  const shift = Math.round((Date.parse(series.start) - Date.parse(before.start)) / 1000 / series.resolution_s);
  const first = series.rows.findIndex((rows) => rows > 0);
  const old = (i) => (first === -1 || i < first) && before.rows[i + shift] > 0;
  const mix = (now, then) => now.map((value, i) => (old(i) ? then[i + shift] : value));
  const tasks = Object.fromEntries(Object.entries(series.tasks).map(([name, task]) => [name, { utilisation: mix(task.utilisation, before.tasks[name].utilisation), normalised_entropy: mix(task.normalised_entropy, before.tasks[name].normalised_entropy) }]));
  return { ...series, tasks };
}

/**
 * Marks at the swaps of a window: those that the page has seen, and the load of the served version before the page was open.
 * @returns {{x: number, text: string}[]} seconds before now
 */
export function swapMarks({ version, loaded_at: loadedAt, window_s: window }, swaps, now = Date.now()) {
  const seen = swaps.map(({ to, at }) => ({ at: at.getTime(), text: `version ${to}` }));
  const loaded = loadedAt === null ? null : Date.parse(loadedAt);
  if (loaded !== null && !swaps.some(({ to, at }) => to === version && Math.abs(at.getTime() - loaded) < 15_000)) seen.push({ at: loaded, text: `version ${version} loaded` });
  return seen.map(({ at, text }) => ({ x: (at - now) / 1000, text })).filter(({ x }) => x > -window && x <= 0).sort((a, b) => a.x - b.x);
}

/** The age of each bucket's end, oldest first, in seconds before now (negative or 0). */
export const ages = ({ rows, resolution_s: step }) => rows.map((_, i) => (i - rows.length + 1) * step);
