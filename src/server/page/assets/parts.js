// Small parts that all of the page is made of.

import { h } from '/page/tree.js';
import { NONE, lasting, moment, utc } from '/page/words.js';

/** A word with a colour and a shape of its own: `good`, `busy`, `bad` or `plain`. */
export const pill = (kind, word) => h('span', { class: `pill ${kind}` }, word);

/** Something to type. */
export const command = (text) => h('code', { class: 'command' }, text);

/** What to do where there is nothing to see. */
export const empty = (said, ...commands) => h('p', { class: 'empty' }, said, commands.map((text) => [' ', command(text)]));

/** A moment, with the one in UTC behind it. */
export function at(millis, now) {
  if (!millis) return NONE;
  return h('time', { datetime: new Date(millis).toISOString(), title: utc(millis) }, moment(millis, now));
}

/** How long ago that was. */
export function ago(millis, now) {
  if (!millis) return NONE;
  const title = `${moment(millis, now)} (${utc(millis)})`;
  return h('time', { datetime: new Date(millis).toISOString(), title }, lasting((now - millis) / 1000));
}

/**
 * A table that scrolls by itself where it has no room. Columns are words, or made below;
 * the first cell of a row names it. Rows are `{ key, cells }`. It may be `narrow`, or `long`:
 * then it has a height of its own.
 */
export function table(caption, columns, rows, look = null) {
  const name = (column) => (typeof column === 'string' ? { title: column } : column);
  const heads = columns.map(name);
  const cell = (content, index) => {
    const wide = heads[index].number ? 'number' : heads[index].wide ? 'wide' : null;
    return index === 0 ? h('th', { scope: 'row', class: wide }, content) : h('td', { class: wide }, content);
  };
  return h('div', { class: look ? `scroll ${look}` : 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', null, h('caption', { class: 'unseen' }, caption),
      h('thead', null, h('tr', null, heads.map(head))),
      h('tbody', null, rows.map(({ key, cells }) => h('tr', { key }, cells.map(cell))))));
}

const head = ({ title, number: is, dot }) => h('th', { scope: 'col', class: is ? 'number' : null },
  dot !== undefined && h('i', { class: `dot line-${dot}` }), title);

/** A column of numbers, which may have the colour that they have in a bar beside them. */
export const numbers = (title, dot) => ({ title, number: true, dot });

/** A column of sentences. */
export const sentences = (title) => ({ title, wide: true });

/** A part of the page with its heading. */
export function section(id, title, ...children) {
  return h('section', { key: id, id, 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title` }, title), children);
}

/** What is wrong, and how much more of it there is. */
export const problems = ({ told, more }) => h('ul', { class: 'problems' }, told.map((one) => h('li', null, one)),
  more > 0 && h('li', null, `and ${more} more, which the log has`));

/** The place of a model on the page. */
export const anchor = (name) => `model-${name}`;
