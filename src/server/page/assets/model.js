// One model: who answers, charts, versions, trials, and who changed what.

import { h } from '/page/tree.js';
import { keep, ofModel, what } from '/page/charts.js';
import { arms, standing } from '/page/overview.js';
import { ago, anchor, at, empty, numbers, pill, problems, section, sentences, table } from '/page/parts.js';
import { trial } from '/page/trial.js';
import { NONE, colour, number, percent, took } from '/page/words.js';

/** Changes that are shown before somebody asks for all. */
const CHANGES = 5;

const STATES = {
  resident: (version) => (version.labels.length > 0 ? pill('good', 'answers') : pill('plain', 'in memory')),
  preparing: () => pill('busy', 'being prepared'),
  rejected: () => pill('bad', 'rejected'),
  on_disk: () => pill('plain', 'on disk'),
};

/** Who has which part of the traffic, as a bar. */
function shares({ labels, name }) {
  const parts = labels.filter((one) => one.label !== 'shadow' && one.version && one.percent > 0);
  if (parts.length < 2) return null;
  const said = parts.map((one) => `${one.label} ${one.version}: ${number(one.percent)} %`).join(', ');
  return h('div', { class: 'shares', role: 'img', 'aria-label': `Shares of ${name}: ${said}` },
    parts.map((one) => h('span', { key: one.label, class: `line-${colour(one.version)}`, style: { 'flex-grow': String(one.percent) } })));
}

const VERSIONS = ['Version', 'State', 'Labels', numbers('Share'), numbers('Trained, ago'), numbers('In memory for'),
  numbers('Prepared in'), numbers('Golden rows'), 'Engine', 'Digest', sentences('What it is')];

function version(one, now) {
  const { labels, percent: share, state, resident: found } = one;
  const digest = found && h('code', { class: 'digest', title: found.digest }, found.digest.slice(0, 12));
  return { key: String(one.number), cells: [
    String(one.number), STATES[state](one), labels.join(', ') || NONE, labels.length > 0 ? percent(share / 100) : NONE,
    ago(found?.made, now), ago(found?.since, now), took(found?.took), number(found?.proved_by), found?.engine ?? NONE, digest ?? NONE,
    state === 'rejected' ? problems(one.problems) : found?.description ?? NONE,
  ] };
}

function versions(model, now) {
  const heading = h('h4', null, 'Versions');
  if (model.versions.length === 0) {
    return [heading, empty('There is no version on disk. A folder is seen at once: copy one in, or make it by',
      `souk import FILE.pt --model ${model.name} --example rows.npz`)];
  }
  return [heading, table(`${model.name}: versions, newest first`, VERSIONS, model.versions.map((one) => version(one, now)))];
}

function change(changes, now) {
  return (one, index) => ({ key: String(one.revision), cells: [
    String(one.revision), at(one.at, now), one.by, what(one, changes[index + 1]),
    one.labels.map((label) => `${label.label} ${label.version ?? NONE} (${number(label.percent)} %)`).join(', '), one.reason || NONE,
  ] });
}

const POLICY = ['Revision', 'When', 'Who', 'What changed', 'Who answered then', sentences('Why')];

function history(model, view, now) {
  const { name, changes } = model;
  const heading = h('h4', null, 'Who changed who answers');
  if (changes.length === 0) return [heading, empty('Nobody yet. The first version that proves itself answers, or say who does:', `souk models traffic ${name} stable=1`)];
  const open = view.opened.has(name);
  const shown = changes.slice(0, open ? undefined : CHANGES).map(change(changes, now));
  const turn = () => { open ? view.opened.delete(name) : view.opened.add(name); view.render(); };
  return [heading, table(`${name}: changes of who answers, newest first`, POLICY, shown),
    changes.length > CHANGES && h('button', { type: 'button', class: 'quiet', 'aria-expanded': String(open), onclick: turn },
      open ? 'Fewer changes' : `All ${changes.length} changes`)];
}

function article(feed, view, model) {
  const { name, task, starting } = model;
  const { now } = feed.state;
  const id = anchor(name);
  const quiet = !starting && feed.select('requests', name).length === 0;
  const ask = task && task !== 'tensors' ? `souk score ${task.replaceAll('_', '-')} --input rows.jsonl`
    : `grpcurl -plaintext -d '{"name": "${name}"}' localhost:50051 inference.GRPCInferenceService/ModelMetadata`;
  return h('article', { key: name, id, 'aria-labelledby': `${id}-title` },
    h('div', { class: 'title' }, h('h3', { id: `${id}-title` }, name), standing(model), arms(model),
      task && h('span', { class: 'fact' }, `task ${task}`)),
    shares(model),
    model.problems.told.length > 0 && problems(model.problems),
    quiet && empty('Nobody has asked this model in the last 15 minutes. Ask it, e.g.', ask),
    h('div', { class: 'charts' }, ofModel(feed, view, name)),
    versions(model, now), trial(model, now), history(model, view, now));
}

/** All models. */
export function models(feed, view) {
  keep(feed.state.models);
  const all = feed.state.models.map((model) => article(feed, view, model));
  return all.length > 0 && section('models', 'Models', all);
}
