// What the server says: its state now, and the figures of the last quarter of an hour,
// of which only what is new is asked for.

/** Seconds that the server keeps. */
export const KEPT = 900;

/** Milliseconds after which an answer is not waited for any longer. */
const PATIENCE = 4000;

/** Seconds between two points from which on a line has a gap. */
const GAP = 3;

/** Figures that are 0 where nothing is said; all others are unknown then. */
const COUNTED = new Set(['requests', 'queue_rows', 'rows', 'shed', 'calls']);

const blank = (figure) => (COUNTED.has(figure) ? 0 : null);

async function get(path) {
  const reply = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  if (!reply.ok) throw new Error(`${path} was answered with ${reply.status}`);
  return reply.json();
}

/** The last answers. */
export class Feed {
  /** What is now; null before the first answer. */
  state = null;
  /** When each point was taken, in seconds since 1970. */
  times = [];
  /** Why the last question was not answered; null where it was. */
  failure = null;
  #series = new Map();
  #next = 0;
  #started = null;
  #asking = null;

  /** Asks once; who asks meanwhile waits for the same answer. */
  ask() {
    this.#asking ??= this.#ask().finally(() => { this.#asking = null; });
    return this.#asking;
  }

  async #ask() {
    try {
      const [state, points] = await Promise.all([get('/page/state'), this.#points()]);
      this.#take(points);
      this.state = state;
      this.failure = null;
    } catch (error) {
      this.failure = error;
    }
  }

  /** The server's clock, in milliseconds since 1970, as of the last answer. */
  get now() {
    return this.state?.now ?? Date.now();
  }

  /** The figures of this kind, each `{ of, version, by, values }`. */
  select(figure, of) {
    const found = [...this.#series.values()].filter((one) => one.figure === figure);
    return of === undefined ? found : found.filter((one) => one.of === of);
  }

  /** The values of one figure; of nothing but blanks where it never was. */
  values(figure, of) {
    return this.select(figure, of)[0]?.values ?? this.times.map(() => blank(figure));
  }

  /** A figure of the last minute as a whole, added up over those that match. */
  lately(figure, of, matches = () => true) {
    const all = this.state?.lately.figures ?? [];
    const found = all.filter((one) => one.figure === figure && one.of === of && matches(one));
    return found.length === 0 ? blank(figure) : found.reduce((sum, one) => sum + one.value, 0);
  }

  /** The points that are new. A server that was started anew counts from 0 again. */
  async #points() {
    const points = await get(`/page/history?since=${this.#next}`);
    if (points.started === this.#started) return points;
    this.#forget(points.started);
    return get('/page/history');
  }

  /** Takes in what is not here yet, by its number. */
  #take(points) {
    const known = Math.max(this.#next - points.first, 0);
    const had = this.times.length;
    const times = points.times.slice(known).map((time) => time / 1000);
    times.forEach((time) => this.#time(time));
    const asked = new Set(times);
    const fresh = points.series.map((one) => ({ ...one, values: one.values.slice(known) }));
    this.#append(fresh, had, this.times.slice(had).map((time) => asked.has(time)));
    this.#next = points.next;
    this.#cut();
  }

  /** What another server said says nothing of this one. */
  #forget(started) {
    this.#started = started;
    this.times = [];
    this.#series = new Map();
    this.#next = 0;
  }

  /** One more point, and one without any value before it where there is a gap. */
  #time(time) {
    const last = this.times.at(-1);
    if (last !== undefined && time - last > GAP) this.times.push((last + time) / 2);
    this.times.push(time);
  }

  /** The values of the points from `had` on; `measured` says which of them are no gaps. */
  #append(series, had, measured) {
    const fresh = new Map(series.map((one) => [[one.figure, one.of, one.version, one.by].join('\n'), one]));
    for (const [key, one] of fresh) {
      if (!this.#series.has(key)) this.#series.set(key, { ...one, values: this.#blanks(one.figure, had) });
    }
    for (const [key, one] of this.#series) {
      const values = fresh.get(key)?.values.values();
      const next = () => (values ? values.next().value : blank(one.figure));
      one.values.push(...measured.map((is) => (is ? next() : null)));
    }
  }

  #blanks(figure, length) {
    return new Array(length).fill(blank(figure));
  }

  #cut() {
    const over = this.times.length - KEPT;
    if (over <= 0) return;
    this.times.splice(0, over);
    for (const [key, series] of this.#series) {
      series.values.splice(0, over);
      if (series.values.every((value) => !value)) this.#series.delete(key);
    }
  }
}
