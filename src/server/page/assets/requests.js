// Calls by method and code, single requests that were slow or refused, and what happened.

import { h } from '/page/tree.js';
import { ofCalls, WHY } from '/page/charts.js';
import { at, empty, numbers, pill, section, sentences, table } from '/page/parts.js';
import { NONE, count, number, took } from '/page/words.js';

const COLUMNS = ['Method', numbers('Calls/s'), numbers('p50'), numbers('p99'), sentences('Ended with, since the start')];

/** Codes with their numbers, that of success first. */
function codes(all, method, feed) {
  const of = all.filter((one) => one.method === method);
  const order = (one) => (one.code === 'OK' ? 0 : 1);
  const sorted = of.sort((one, other) => order(one) - order(other) || other.count - one.count);
  return h('ul', { class: 'codes' }, sorted.map(({ code, count: number_ }) => {
    const rate = feed.lately('calls', method, (one) => one.by === code);
    return h('li', { key: code, class: code === 'OK' ? 'ok' : 'not' }, code, ' ', h('b', null, count(number_)),
      code !== 'OK' && rate > 0 && h('small', null, ` ${number(rate)}/s now`));
  }));
}

/** Calls of all methods. */
export function calls(feed, view) {
  const { calls: all } = feed.state;
  const methods = [...new Set(all.map((one) => one.method))];
  const rate = (method) => feed.lately('calls', method) ?? 0;
  const sorted = methods.sort((one, other) => rate(other) - rate(one) || one.localeCompare(other));
  const row = (method) => ({ key: method, cells: [
    method,
    number(rate(method)), took(feed.lately('call_p50', method)), took(feed.lately('call_p99', method)), codes(all, method, feed),
  ] });
  if (all.length === 0) {
    return section('calls', 'Calls', empty('Nobody has called yet. See which methods there are:', 'grpcurl -plaintext localhost:50051 list'));
  }
  return section('calls', 'Calls', h('div', { class: 'charts' }, ofCalls(feed, view)),
    table('Calls by method; rates and latencies are of the last minute', COLUMNS, sorted.map(row)));
}

/** Parts of a request's time, and their colours. */
const PARTS = [['decode', 2], ['queue', 5], ['compute', 1]];

/** Where the time of a request went, as a bar by the slowest of all; its numbers are beside it. */
function parts(request, longest) {
  const part = ([name, colour]) => h('i', { class: `line-${colour}`, style: { width: `${(request[name] / longest) * 100}%` } });
  return h('span', { class: 'parts', 'aria-hidden': 'true' }, PARTS.map(part));
}

const REQUESTS = ['When', numbers('Took'), 'Parts', 'Model', 'Method', numbers('Decode', 2), numbers('Queue', 5), numbers('Compute', 1),
  numbers('Rows'), numbers('Rows in its pass'), 'Lane', 'Ended with', 'Trace'];

/** Which version was asked, and how many others with it, where the traffic is split. */
const asked = ({ model, version, versions }) => (model ? `${model} ${version ?? ''}${versions > 1 ? ` + ${versions - 1} other` : ''}` : NONE);

function request(longest, now) {
  return (one, index) => ({ key: `${one.at} ${index}`, cells: [
    at(one.at, now), took(one.took), parts(one, longest), asked(one), one.method.split('/').at(-1),
    took(one.decode), took(one.queue), took(one.compute), count(one.rows), one.batch_rows > 0 ? count(one.batch_rows) : NONE, one.lane || NONE,
    h('span', { class: one.code === 'OK' ? 'ok' : 'not' }, one.code, one.reason && h('small', null, ` ${WHY[one.reason] ?? one.reason}`)),
    one.trace_id ? h('code', { class: 'digest', title: one.trace_id }, one.trace_id) : NONE,
  ] });
}

/** Requests that are worth a look. */
export function requests({ state }) {
  const { slowest, refused } = state.noted;
  const of = (title, caption, all, none) => [h('h3', null, title), all.length === 0 ? empty(none)
    : table(caption, REQUESTS, all.map(request(Math.max(...all.map((one) => one.took), 1e-9), state.now)), 'long')];
  return section('requests', 'Requests',
    of('The slowest', 'The slowest requests of the last minutes, slowest first', slowest, 'No request was noted in the last minutes.'),
    of('Refused', 'The last requests that were refused, newest first', refused, 'None was refused in the last minutes.'));
}

const KINDS = {
  preparing: ['busy', 'being prepared'], ready: ['good', 'ready'], rejected: ['bad', 'rejected'], cancelled: ['plain', 'given up'],
  traffic: ['good', 'traffic'], refused: ['bad', 'refused'], taken_back: ['bad', 'taken back'], retired: ['plain', 'retired'],
};

/** What happened to versions and policies. */
export function events({ state }) {
  if (state.events.length === 0) return section('events', 'Events', empty('Nothing happened yet. Follow it here, or by', 'souk models watch'));
  const row = ({ at: moment, model, version, kind, message }, index) => ({ key: `${moment} ${index}`, cells: [
    at(moment, state.now), pill(...KINDS[kind]), model, version === null ? NONE : String(version), message || NONE,
  ] });
  return section('events', 'Events', table('What happened to versions and policies, newest first',
    ['When', 'What', 'Model', numbers('Version'), sentences('In words')], state.events.map(row), 'long'));
}
