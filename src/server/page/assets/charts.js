// Which charts there are, and what each shows.

import { Chart } from '/page/chart.js';
import { colour, number, took } from '/page/words.js';

/** Charts by their names: kept, so that nothing flickers. */
const kept = new Map();

function chart(name, about) {
  if (!kept.has(name)) kept.set(name, new Chart(about));
  return kept.get(name);
}

const REASONS = ['queue_full', 'queue_bytes', 'wait', 'deadline', 'expired', 'cancelled'];

/** Reasons in words. */
export const WHY = {
  queue_full: 'queue full', queue_bytes: 'queue bytes', wait: 'wait too long',
  deadline: 'deadline too near', expired: 'expired waiting', cancelled: 'caller left',
};

/** Lines that a chart can tell apart; those beyond are put together. */
const LINES = 6;

/** Who takes canaries back. */
const GUARD = 'guard';

const line = (label, values, colour, dash) => ({ label, values, colour, dash });

/** Value by value; unknown where all are. */
function sum(all) {
  const [first = []] = all;
  return first.map((_, index) => {
    const values = all.map((values) => values[index]).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((one, other) => one + other, 0);
  });
}

/** Some lines by a label each, in its order; what shares a label is added up. */
function by(series, label, look = (_one, index) => ({ colour: index % LINES })) {
  const groups = new Map();
  for (const one of series) groups.set(label(one), [...(groups.get(label(one)) ?? []), one]);
  const named = [...groups].sort(([one], [other]) => one.localeCompare(other, 'en', { numeric: true })).slice(-LINES);
  return named.map(([name, all], index) => ({ ...line(name, sum(all.map((one) => one.values))), ...look(all[0], index) }));
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
      ...by(feed.select('compute_p99', of), (one) => `pass of ${one.version}`, ofVersion).slice(-LINES + 1),
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
    lines: (feed) => orNone(by(feed.select('call_p99'), (one) => short(one.of)), feed, 'calls'),
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

function show(prefix, abouts, feed, view, of) {
  const to = feed.times.at(-1) ?? feed.now / 1000;
  const window = { times: feed.times, marks: marks(feed, of), from: to - view.seconds, to };
  const wanted = abouts.filter((about) => !about.needs || about.needs(feed, of));
  return wanted.map((about) => {
    const found = chart(`${prefix} ${about.name}`, { ...about, title: about.title });
    found.show({ ...window, lines: about.lines(feed, of) });
    return { element: found.element };
  });
}

/** The charts of a model, as elements. */
export const ofModel = (feed, view, name) => show(`model ${name}`, OF_MODEL, feed, view, name);

/** The charts of all calls. */
export const ofCalls = (feed, view) => show('calls', OF_CALLS, feed, view, undefined);
