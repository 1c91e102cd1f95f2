// What somebody should look at now, most urgent first, and since when it is so.

import { h } from '/page/tree.js';
import { anchor, command } from '/page/parts.js';
import { WHY } from '/page/charts.js';
import { clock, known, list, median, number, percent, took } from '/page/words.js';

/** Seconds without a value that do not end what goes on. */
const BREAK = 10;

/** Codes that tell of a fault of the server, or of too much to do. */
const FAULTS = new Set(['INTERNAL', 'UNKNOWN', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED', 'DATA_LOSS']);

/** Methods that nothing is promised of, as in the alerts: health, reflection, and none. */
const ASIDE = /^(grpc[.].*|other)$/;

/** Share of calls with such a code from which on it is told: what the alerts allow. */
const FAULTY = 0.001;

/** How many times its median a p99 must be to be told, and by how many seconds more. */
const [SLOWER, AT_LEAST] = [2.5, 0.002];

/** Points before anything is said of what is usual. */
const ENOUGH = 120;

/** Part of a guard's limit from which on it is told. */
const NEAR = 0.8;

/** Characters of a sentence that is told in full elsewhere. */
const SHORT = 140;

/** What is told may be empty, as where a version was rejected without a word. */
const short = (said = 'the log says why') => (said.length > SHORT ? `${said.slice(0, SHORT)}…` : said);

const bad = (key, said, to) => ({ key, kind: 'bad', said, to });
const look = (key, said, to) => ({ key, kind: 'busy', said, to });

/** When what goes on until now began, by its values; null where it goes on no more. */
function since(times, values, is) {
  let begun = null;
  for (let index = times.length - 1; index >= 0; index -= 1) {
    if (is(values[index])) begun = times[index];
    else if ((begun ?? times.at(-1)) - times[index] > BREAK) break;
  }
  return begun;
}

const from = (at) => (at === null ? '' : ` since ${clock(at * 1000)}`);

function ofServer({ state }) {
  const { ready, draining } = state.server;
  if (draining) return [bad('draining', 'The server is draining: it answers what it accepted, and ends.')];
  if (ready || state.models.length === 0) return [];
  const starting = state.models.some((model) => model.starting);
  return [(starting ? look : bad)('ready', starting ? 'Versions are being prepared; the server is not ready yet.'
    : 'No model has a version that answers: the server is not ready.')];
}

function ofVersions({ name, versions, problems, labels, starting }) {
  const to = anchor(name);
  const rejected = versions.filter((version) => version.state === 'rejected');
  const silent = !starting && !labels.some((label) => label.label === 'stable' && label.version);
  return [
    silent && bad(`${name} silent`, `${name}: no version answers.`, to),
    ...problems.told.map((problem) => bad(`${name} ${problem}`, `${name}: ${problem}`, to)),
    ...rejected.map(({ number: version, problems: { told, more } }) => bad(`${name} ${version} out`,
      `${name} ${version} was rejected: ${short(told[0])}${told.length + more > 1 ? `, and ${told.length + more - 1} more` : ''}`, to)),
  ];
}

function ofRows(feed, name) {
  const shed = feed.select('shed', name).map((one) => ({ ...one, at: since(feed.times, one.values, (value) => value > 0) }));
  const going = shed.filter((one) => one.at !== null && !['cancelled', 'rate'].includes(one.by));
  const failed = feed.lately('rows', name, (one) => one.by === 'failed');
  const rate = going.reduce((sum, one) => sum + (feed.lately('shed', name, (other) => other.by === one.by)), 0);
  return [
    going.length > 0 && bad(`${name} shed`, `${name} refuses ${number(rate)} rows a second${
      from(Math.min(...going.map((one) => one.at)))}: ${list(going.map((one) => WHY[one.by]))}.`, anchor(name)),
    failed > 0 && bad(`${name} failed`, `${name} fails on ${number(failed)} rows a second.`, anchor(name)),
  ];
}

/** A p99 that is far above what was usual in the time that is known. */
function ofLatency(feed, of, figure, to) {
  const values = feed.values(figure, of);
  const usual = median(values);
  if (values.filter(known).length < ENOUGH || usual === null) return [];
  const high = (value) => known(value) && value > usual * SLOWER && value > usual + AT_LEAST;
  const now = median(values.slice(-BREAK));
  const begun = high(now) ? since(feed.times, values, high) : null;
  return [begun !== null && look(`${of} slow`, `${of.split('/').at(-1)}: p99 is ${took(now)}${from(begun)}, usually ${took(usual)}.`, to)];
}

function ofGuard({ name, labels, guard }) {
  const canary = labels.find((label) => label.label === 'canary')?.version;
  if (!canary || !guard.enabled || guard.rows === null || guard.rows < guard.min_rows) return [];
  const near = guard.limits.filter((limit) => known(limit.most) && limit.found > limit.most * NEAR);
  return [near.length > 0 && look(`${name} guard`,
    `${name}: canary ${canary} is near a limit (${list(near.map((limit) => limit.name.replaceAll('_', ' ')))}).`, anchor(name))];
}

function ofCalls(feed) {
  const lately = feed.state.lately.figures.filter((one) => one.figure === 'calls' && !ASIDE.test(one.of));
  const total = (found) => found.reduce((sum, one) => sum + one.value, 0);
  const faults = lately.filter((one) => FAULTS.has(one.by));
  const share = total(faults) / total(lately);
  if (!(share > FAULTY)) return [];
  const codes = [...new Set(faults.map((one) => one.by))];
  const ours = feed.select('calls').filter((one) => codes.includes(one.by) && !ASIDE.test(one.of));
  const begun = ours.map((one) => since(feed.times, one.values, (value) => value > 0));
  const first = Math.min(...begun.filter((at) => at !== null));
  return [bad('calls', `${percent(share)} of the calls of the last minute ended with ${list(codes)}${
    Number.isFinite(first) ? `, and it goes on${from(first)}` : ''}.`, 'calls')];
}

function ofEvents({ state }) {
  const recent = state.events.filter((event) => state.now - event.at < 900_000);
  const told = recent.filter(({ kind }) => kind === 'taken_back' || kind === 'refused');
  return told.map(({ at, model, version, kind, message }) => look(`${at} ${kind}`, kind === 'taken_back'
    ? `${model}: canary ${version} was taken back at ${clock(at)}: ${message}` : `${model}: at ${clock(at)} ${message}`, 'events'));
}

/** All that there is, each `{ key, kind, said, to }`. */
export function found(feed) {
  const { models } = feed.state;
  const methods = [...new Set(feed.select('call_p99').map((one) => one.of))];
  const measured = models.some((model) => feed.select('p99', model.name).length > 0);
  return [
    ...ofServer(feed), ...models.flatMap(ofVersions), ...models.flatMap((model) => ofRows(feed, model.name)), ...ofCalls(feed),
    ...models.flatMap((model) => ofLatency(feed, model.name, 'p99', anchor(model.name))),
    // Methods stand in for models where these are not measured; streams take as long as they like.
    ...(measured ? [] : methods.filter((method) => !/Stream|Watch|Reflection/.test(method)))
      .flatMap((method) => ofLatency(feed, method, 'call_p99', 'calls')),
    ...models.flatMap(ofGuard), ...ofEvents(feed),
  ].filter(Boolean).sort((one, other) => (one.kind === 'bad' ? 0 : 1) - (other.kind === 'bad' ? 0 : 1));
}

/** The same to read. */
export function attention(all, { state }) {
  if (state.models.length === 0) {
    return h('div', { class: 'attention' }, h('p', null, 'There is no model yet. Put a version into the models’ folder, e.g. one made by ',
      command('souk import FILE.pt --model NAME --example rows.npz'), ', and it is here a moment later.'));
  }
  if (all.length === 0) return h('div', { class: 'attention calm' }, h('p', null, 'Nothing needs attention.'));
  return h('div', { class: 'attention' }, h('ul', null, all.map(({ key, kind, said, to }) => h('li', { key, class: kind },
    h('i', { class: `sign ${kind}`, 'aria-hidden': 'true' }), to ? h('a', { href: `#${to}` }, said) : said))));
}
