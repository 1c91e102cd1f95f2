// The first look: the server, what needs attention, and each model in a line.

import { h } from '/page/tree.js';
import { attention } from '/page/attention.js';
import { ago, anchor, numbers, pill, section, table } from '/page/parts.js';
import { NONE, colour, known, number, took } from '/page/words.js';

/** Size of a small line, in its own units. */
const [WIDTH, HEIGHT] = [120, 22];

/** What the server is. */
export function server({ state }) {
  const { host, version, libtorch, ready, draining, started } = state.server;
  const how = draining ? pill('bad', 'draining') : ready ? pill('good', 'ready') : pill('bad', 'not ready');
  return h('p', { class: 'server' }, how, h('strong', null, host),
    h('span', { class: 'fact' }, `Souk ${version}`), h('span', { class: 'fact' }, `libtorch ${libtorch}`),
    h('span', { class: 'fact' }, 'up ', ago(started, state.now)));
}

/** How a model is, in a word. */
export function standing({ starting, labels, versions }) {
  if (labels.some((label) => label.label === 'stable' && label.version)) {
    return versions.some((version) => version.state === 'preparing') ? pill('busy', 'preparing') : pill('good', 'answers');
  }
  return starting ? pill('busy', 'starting') : pill('bad', 'silent');
}

/** Who answers, in some words: `stable 3`, `canary 4 10 %`. */
export function arms({ labels }) {
  const shares = labels.length > 1;
  const arm = ({ label, version, percent }) => h('span', { key: label, class: 'arm' },
    version !== null && h('i', { class: `dot line-${colour(version)}` }), `${label} ${version ?? NONE}`,
    shares && percent > 0 && h('small', null, ` ${number(percent)} %`));
  return h('span', { class: 'arms' }, labels.map(arm));
}

/** The last values as a small line; for the eye alone, as the numbers are beside it. */
function small(values) {
  const top = Math.max(...values.filter(known), 0);
  const place = (value, index) => `${((index / Math.max(values.length - 1, 1)) * WIDTH).toFixed(1)} ${
    (HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`;
  const path = top > 0 ? `M${values.map((value, index) => place(value ?? 0, index)).join('L')}` : `M0 ${HEIGHT - 1}H${WIDTH}`;
  return h('svg', { class: 'small', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    h('path', { d: path }));
}

function row(feed, view, model) {
  const { name } = model;
  const lately = (figure) => feed.lately(figure, name);
  const last = feed.values('requests', name).slice(-view.seconds);
  const busy = lately('queue_rows');
  return { key: name, cells: [
    h('a', { href: `#${anchor(name)}` }, name), standing(model), arms(model), small(last),
    number(lately('requests')), took(lately('p50')), took(lately('p99')), took(lately('wait_p99')),
    number(lately('batch_rows')), number(busy), number(lately('shed')),
  ] };
}

const COLUMNS = ['Model', 'State', 'Who answers', 'Trend', numbers('Requests/s'), numbers('p50'), numbers('p99'),
  numbers('Wait p99'), numbers('Rows/pass'), numbers('Waiting'), numbers('Refused/s')];

/** What is wrong, and all models. */
export function overview(feed, view, told) {
  const { models } = feed.state;
  const caption = 'All models, in the last minute';
  return section('overview', 'Overview', attention(told, feed),
    models.length > 0 && table(caption, COLUMNS, models.map((model) => row(feed, view, model))));
}
