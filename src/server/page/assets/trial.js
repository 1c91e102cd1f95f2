// Versions on trial: how their answers differ from those of the stable version, and how
// far a canary is from what it would be taken back for.

import { h } from '/page/tree.js';
import { empty, numbers, pill, table } from '/page/parts.js';
import { NONE, count, known, lasting, number, percent, times } from '/page/words.js';

/** How each limit is called and written. */
const LIMITS = {
  error_rate: ['rows that fail', percent],
  non_finite_rate: ['answers that are no number', percent],
  p99_ratio: ['p99, by that of stable', times],
  cost_ratio: ['cost of a pass, by that of stable', times],
  divergence: ['difference of answers', percent],
};

/** As it is written; the largest number that there is stands for all beyond it. */
const bounded = (value, written) => (known(value) && value >= Number.MAX_VALUE ? 'beyond any limit' : written(value));

const ofLabel = (model, label) => model.labels.find((one) => one.label === label && one.version)?.version ?? null;

/** What could be tried, in words that can be typed. */
function nothing(model) {
  const stable = ofLabel(model, 'stable');
  const other = model.versions.find((version) => version.number !== stable && version.state !== 'rejected');
  const number = other?.number ?? (model.versions[0]?.number ?? 0) + 1;
  const said = other ? 'No version is on trial. Give one some of the traffic, or none of it:'
    : 'No version is on trial, and there is none beside the one that answers. Once its folder is there:';
  return empty(said, `souk models traffic ${model.name} canary=${number}:10`, `souk models traffic ${model.name} shadow=${number}`);
}

const COLUMNS = ['Head', 'Versions', numbers('Rows'), numbers('Mean'), numbers('Mean abs.'), numbers('Deviation'), numbers('p50'),
  numbers('p90'), numbers('p99'), numbers('Largest'), numbers('Relative'), numbers('Rank corr.'), numbers('Top tenth'),
  numbers('Latency'), numbers('Cost')];

function row(one) {
  const { live, other, head, rows, window_rows: most } = one;
  return { key: `${other} ${live} ${head}`, cells: [
    head, `${other} by ${live}`, h('span', { title: `at most ${count(most)}` }, count(rows)), number(one.mean), number(one.mean_absolute),
    number(one.deviation), number(one.p50), number(one.p90), number(one.p99), number(one.largest), percent(one.relative),
    number(one.rank_correlation), percent(one.top_decile_overlap), times(one.latency_ratio), times(one.cost_ratio),
  ] };
}

function compared(model, now) {
  const { comparisons, task } = model;
  if (comparisons.length > 0) {
    const oldest = Math.min(...comparisons.map((one) => one.since));
    return [h('h5', null, 'Answers to the same rows', h('small', null, ` in the last ${lasting((now - oldest) / 1000)}; differences are the other’s answer less the live one’s`)),
      table(`${model.name}: how answers of two versions differ`, COLUMNS, comparisons.map(row))];
  }
  if (task === 'tensors') return [empty('Answers that are tensors are not compared.')];
  return [empty('No row was scored by two versions yet. Each request to the model is one, e.g.',
    `souk score ${String(task).replaceAll('_', '-')} --input rows.jsonl`)];
}

/** How much of a limit is used, as a bar; its number is beside it. */
function used({ most, found }) {
  if (!known(most) || !known(found)) return NONE;
  const share = most > 0 ? Math.min(found / most, 1) : Number(found > 0);
  const kind = share >= 1 ? 'bad' : share > 0.8 ? 'busy' : 'good';
  return h('span', { class: `used ${kind}`, 'aria-hidden': 'true' }, h('i', { style: { width: `${share * 100}%` } }));
}

function limit(one) {
  const [name, written] = LIMITS[one.name];
  const title = one.head ? `${name} (${one.head})` : name;
  return { key: one.name, cells: [title, bounded(one.found, written), used(one), known(one.most) ? written(one.most) : 'not limited', bounded(one.stable, written)] };
}

function guard({ name, guard: found }) {
  const { enabled, min_rows: least, window, looks, rows, limits } = found;
  const judged = rows === null ? 'nothing was counted yet' : `${count(rows)} rows in the last ${lasting(window)}`;
  const enough = rows !== null && rows >= least;
  const how = !enabled ? pill('plain', 'guard is off') : enough ? pill('good', 'guarded') : pill('busy', `judged from ${count(least)} rows on`);
  return [h('h5', null, 'Guard ', how, h('small', null, ` ${judged}; taken back after ${count(looks)} looks beyond a limit`)),
    table(`${name}: limits of the canary`, ['Limit', numbers('Now'), 'Used', numbers('At most'), numbers('Stable’s own')], limits.map(limit), 'narrow')];
}

/** The part of a model that is about trials. */
export function trial(model, now) {
  const canary = ofLabel(model, 'canary');
  const shadow = ofLabel(model, 'shadow');
  const heading = h('h4', null, 'On trial');
  if (!canary && !shadow && model.comparisons.length === 0) return [heading, nothing(model)];
  return [heading, compared(model, now), canary && guard(model)];
}
