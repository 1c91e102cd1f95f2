// Which charts there are, and what each shows.

import { Chart } from '/page/chart.js';
import { colour, number, took } from '/page/words.js';

/** Charts by the model that they are of, and by their names: kept, so that nothing flickers. */
const kept = new Map();

function chart(of, about) {
  if (!kept.has(of)) kept.set(of, new Map());
  const charts = kept.get(of);
  if (!charts.has(about.name)) charts.set(about.name, new Chart(about));
  return charts.get(about.name);
}

/** Lets go of the charts of models that are none of these. */
export function keep(models) {
  const there = new Set([undefined, ...models.map((model) => model.name)]);
  for (const [of, charts] of kept) {
    if (there.has(of)) continue;
    charts.forEach((one) => one.destroy());
    kept.delete(of);
  }
}

const REASONS = ['queue_full', 'queue_bytes', 'wait', 'deadline', 'expired', 'cancelled', 'rate'];

/** Reasons in words. */
export const WHY = {
  queue_full: 'queue full', queue_bytes: 'queue bytes', wait: 'wait too long',
  deadline: 'deadline too near', expired: 'expired waiting', cancelled: 'caller left', rate: 'above its rate',
};

/** Lines that a chart can tell apart. */
const LINES = 6;

/** Who takes canaries back. */
const GUARD = 'guard';

const line = (label, values, colour, dash) => ({ label, values, colour, dash });

/** Lines put together value by value; unknown where all are. */
function together(all, put) {
  const [first = []] = all;
  return first.map((_, index) => {
    const values = all.map((values) => values[index]).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((one, other) => put(one, other));
  });
}

/** Rates are added up. */
const sum = (all) => together(all, (one, other) => one + other);

/** Percentiles are not: the larger one is told. */
const larger = (all) => together(all, Math.max);

const total = (values) => values.reduce((all, value) => all + (value ?? 0), 0);

const peak = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);

const plain = (_one, index) => ({ colour: index % LINES });

const inOrder = (lines) => lines.sort((one, other) => one.label.localeCompare(other.label, 'en', { numeric: true }));

/** The series by a label each; what shares one is put together. */
function labelled(series, label, put) {
  const groups = new Map();
  for (const one of series) groups.set(label(one), [...(groups.get(label(one)) ?? []), one]);
  return [...groups].map(([name, all]) => ({ label: name, values: put(all.map((one) => one.values)), one: all[0] }));
}

const looking = (look) => ({ label, values, one }, index) => ({ ...line(label, values), ...look(one, index) });

/** Rates as lines, in the order of their labels. Where there are too many, the largest are
 *  told, and the sum of all others. */
function by(series, label, look = plain) {
  const all = labelled(series, label, sum).sort((one, other) => total(other.values) - total(one.values));
  if (all.length <= LINES) return inOrder(all).map(looking(look));
  const others = sum(all.slice(LINES - 1).map((one) => one.values));
  return [...inOrder(all.slice(0, LINES - 1)).map(looking(look)), line('others', others, LINES - 1, true)];
}

/** Percentiles as lines, in the order of their labels; where there are more than so many, the largest. */
function slowest(series, label, look = plain, most = LINES) {
  const all = labelled(series, label, larger).sort((one, other) => peak(other.values) - peak(one.values));
  return inOrder(all.slice(0, most)).map(looking(look));
}

/** A version has one colour in all charts. */
const ofVersion = (one) => ({ colour: colour(one.version) });

/** What charts of one model show: what is asked and how it goes, then how it is done. */
const OF_MODEL = [
  {
    name: 'requests', title: 'Requests', unit: 'to versions, /s', format: number, empty: 'No request in this time.',
    lines: (feed, of) => [line('requests', feed.values('requests', of), 0)],
  },
  {
    name: 'latency', title: 'Latency', unit: 'of requests', format: took, empty: 'No request in this time.',
    needs: (feed, of) => feed.select('p99', of).length > 0,
    lines: (feed, of) => [line('p50', feed.values('p50', of), 2, true), line('p99', feed.values('p99', of), 1)],
  },
  {
    name: 'time', title: 'Where time goes', unit: 'p99', format: took, empty: 'No pass in this time.',
    lines: (feed, of) => [
      line('waiting', feed.values('wait_p99', of), 5, true),
      ...slowest(feed.select('compute_p99', of), (one) => `pass of ${one.version}`, ofVersion, LINES - 1),
    ],
  },
  {
    name: 'shed', title: 'Refused rows', unit: 'per second', format: number, empty: 'None was refused in this time.',
    lines: (feed, of) => orNone(REASONS.flatMap((reason, index) => {
      const found = feed.select('shed', of).find((one) => one.by === reason);
      return found ? [line(WHY[reason], found.values, index)] : [];
    }), feed, 'rows'),
  },
  {
    name: 'versions', title: 'Rows by version', unit: 'per second', format: number, empty: 'No row in this time.',
    lines: (feed, of) => orNone(by(feed.select('rows', of), (one) => `version ${one.version}`, ofVersion), feed, 'rows'),
  },
  {
    name: 'failed', title: 'Failed rows', unit: 'per second', format: number, empty: 'None failed in this time.',
    lines: (feed, of) => orNone(by(feed.select('rows', of).filter((one) => one.by !== 'ok'),
      (one) => `${one.version} ${one.by}`, (one) => ({ ...ofVersion(one), dash: one.by === 'refused' })), feed, 'rows'),
  },
  {
    name: 'batch', title: 'Rows in a pass', unit: 'mean', format: number, empty: 'No pass in this time.',
    lines: (feed, of) => [line('rows', feed.values('batch_rows', of), 3)],
  },
  {
    name: 'queue', title: 'Rows that wait', unit: 'each second', format: number, empty: 'No row waited in this time.',
    lines: (feed, of) => [line('rows', feed.values('queue_rows', of), 4)],
  },
];

/** A chart without a line is one of nothing. */
function orNone(lines, feed, label) {
  return lines.length > 0 ? lines : [line(label, feed.times.map(() => 0), 0)];
}

const short = (method) => method.split('/').at(-1);

/** What charts of all calls show. */
const OF_CALLS = [
  {
    name: 'codes', title: 'Calls by code', unit: 'per second', format: number, empty: 'No call in this time.',
    // What went well has always the same colour, and errors never that one.
    lines: (feed) => orNone(by(feed.select('calls'), (one) => one.by,
      (one, index) => ({ colour: one.by === 'OK' ? 2 : [1, 3, 4, 0, 5][index % 5] })), feed, 'OK'),
  },
  {
    name: 'methods', title: 'Calls by method', unit: 'per second', format: number, empty: 'No call in this time.',
    lines: (feed) => orNone(by(feed.select('calls'), (one) => short(one.of)), feed, 'calls'),
  },
  {
    name: 'p99', title: 'Latency by method', unit: 'p99', format: took, empty: 'No call in this time.',
    lines: (feed) => orNone(slowest(feed.select('call_p99'), (one) => short(one.of)), feed, 'calls'),
  },
];

/** What is marked on charts: when who answers has changed, of one model or of all. */
function marks(feed, name) {
  const models = feed.state.models.filter((model) => name === undefined || model.name === name);
  const mark = ({ changes }) => changes.map((change, index) => ({
    at: change.at / 1000, bad: change.by === GUARD, label: what(change, changes[index + 1]),
  }));
  return models.flatMap(mark).sort((one, other) => one.at - other.at);
}

/** A change of who answers in some words: what it has that was not so before. */
export function what(change, before) {
  if (change.by === GUARD) return 'canary taken back';
  const was = new Map((before?.labels ?? []).map((one) => [one.label, one]));
  const shares = change.labels.length > 1;
  const same = (one) => was.get(one.label)?.version === one.version && was.get(one.label)?.percent === one.percent;
  // What the others leave is stable's, and need not be said.
  const said = (one) => `${one.label} ${one.version ?? 'none'}${shares && one.label !== 'stable' ? ` ${number(one.percent)} %` : ''}`;
  const news = change.labels.filter((one) => !same(one));
  // What the others leave of `stable` is no news beside them.
  const told = news.length > 1 ? news.filter((one) => one.label !== 'stable' || was.get('stable')?.version !== one.version) : news;
  const gone = [...was.keys()].filter((label) => !change.labels.some((one) => one.label === label));
  return [...told.map(said), ...gone.map((label) => `no ${label}`)].join(', ') || 'as before';
}

function show(abouts, feed, view, of) {
  const to = feed.times.at(-1) ?? feed.now / 1000;
  const window = { times: feed.times, marks: marks(feed, of), from: to - view.seconds, to };
  const wanted = abouts.filter((about) => !about.needs || about.needs(feed, of));
  return wanted.map((about) => {
    const found = chart(of, about);
    found.show({ ...window, lines: about.lines(feed, of) });
    return { element: found.element };
  });
}

/** The charts of a model, as elements. */
export const ofModel = (feed, view, name) => show(OF_MODEL, feed, view, name);

/** The charts of all calls. */
export const ofCalls = (feed, view) => show(OF_CALLS, feed, view, undefined);
