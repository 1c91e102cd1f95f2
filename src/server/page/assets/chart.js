// One chart: lines over time, with what they say in words and as a table. The drawing is
// uPlot's; it is an image to who can't see it, and the words and the table are for all.

/* global uPlot */
import { h, show } from '/page/tree.js';
import { NONE, clock, hour, known, median } from '/page/words.js';

/** Rows of a chart's table: what a window holds is put together into so many steps. */
const ROWS = 30;

const colours = { read: null };

/** The colours of this scheme, from the style sheet. */
function palette() {
  if (colours.read) return colours.read;
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  colours.read = {
    lines: [0, 1, 2, 3, 4, 5].map((index) => of(`--line-${index}`)),
    grid: of('--grid'), surface: of('--surface'), words: of('--muted'), mark: of('--mark'), bad: of('--bad'), font: `11px ${of('--font')}`,
  };
  return colours.read;
}

/** Charts that are there. */
const all = new Set();

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  colours.read = null;
  all.forEach((chart) => chart.recolour());
});

// They move together: what happened at the same moment is seen in all of them.
const cursor = { x: true, y: false, points: { size: 5 }, drag: { x: false, y: false }, sync: { key: 'souk' } };

/**
 * `about`: title, unit, format (a value as text), empty (what is said of no values).
 * Lines: `{ label, values, colour, dash }`, marks: `{ at, label, bad }`, at in seconds.
 */
export class Chart {
  #about;
  #plot = null;
  #shape = '';
  #shown = null;
  #seen = false;
  #table = null;
  #observers = [];

  constructor(about) {
    this.#about = about;
    this.element = document.createElement('figure');
    this.element.className = 'chart';
    this.drawing = document.createElement('div');
    this.drawing.className = 'drawing';
    this.drawing.setAttribute('role', 'img');
    all.add(this);
    const resized = new ResizeObserver(() => this.#resize());
    resized.observe(this.drawing);
    // What nobody sees is not drawn.
    const seen = new IntersectionObserver((entries) => {
      this.#seen = entries.at(-1).isIntersecting;
      if (this.#seen) this.#draw();
    }, { rootMargin: '200px' });
    seen.observe(this.element);
    this.#observers = [resized, seen];
  }

  /** Lets go of all that it holds; it is not shown again. */
  destroy() {
    this.#observers.forEach((observer) => observer.disconnect());
    this.#plot?.destroy();
    this.#plot = null;
    this.#seen = false;
    all.delete(this);
  }

  /** Shows this from now on: `{ times, lines, marks, from, to }`. */
  show(what) {
    const begun = what.times.findIndex((time) => time >= what.from);
    const cut = (values) => (begun < 0 ? [] : values.slice(begun));
    const lines = what.lines.map((line) => ({ ...line, values: cut(line.values) }));
    this.#shown = { ...what, times: cut(what.times), lines };
    this.#words();
    if (this.#seen) this.#draw();
  }

  recolour() {
    this.#shape = '';
    if (this.#shown && this.#seen) this.#draw();
  }

  #draw() {
    const { times, lines, from, to } = this.#shown;
    const shape = JSON.stringify(lines.map(({ label, colour, dash }) => [label, colour, dash]));
    const data = [times, ...lines.map((line) => line.values)];
    if (shape !== this.#shape) this.#begin(shape, data);
    this.#plot.batch(() => {
      this.#plot.setData(data, false);
      this.#plot.setScale('x', { min: from, max: to });
    });
  }

  #begin(shape, data) {
    this.#plot?.destroy();
    this.#shape = shape;
    this.#plot = new uPlot({ ...options(this, this.#about, this.#shown.lines), ...this.#size() }, data, this.drawing);
  }

  /** All of its place, which does not depend on what is drawn in it. */
  #size() {
    return { width: this.drawing.clientWidth, height: this.drawing.clientHeight };
  }

  #resize() {
    const size = this.#size();
    if (this.#plot && size.width > 0) this.#plot.setSize(size);
  }

  get marks() {
    return this.#shown.marks;
  }

  /** Title, legend and what the lines say, now or where the cursor is. */
  #words(index = null) {
    const { title, unit, format, empty } = this.#about;
    const { times, lines } = this.#shown;
    const at = (values) => (index === null ? values.findLast((value, place) => known(value) && place >= values.length - 2) : values[index]);
    const value = ({ values }) => { const found = at(values); return known(found) ? format(found) : NONE; };
    const nothing = !lines.some((line) => line.values.some((found) => known(found) && found !== 0));
    const legend = lines.map((line) => h('li', { key: line.label },
      h('i', { class: `swatch line-${line.colour}${line.dash ? ' dashed' : ''}` }), line.label, h('b', null, value(line))));
    const summary = nothing ? empty : this.#summary();
    if (index === null) this.drawing.setAttribute('aria-label', `${title}${unit ? `, ${unit}` : ''}. ${summary}`);
    show(this.element,
      h('figcaption', null, h('strong', null, title), unit && h('span', { class: 'unit' }, unit),
        h('span', { class: 'moment' }, index !== null && times[index] ? clock(times[index] * 1000) : ''),
        h('button', { type: 'button', class: 'quiet', 'aria-expanded': String(this.#table !== null),
          'aria-label': `Table of ${title}`, onclick: () => this.#turn() }, 'Table')),
      h('ul', { class: 'legend' }, legend),
      { element: this.drawing },
      h('p', { class: 'summary' }, summary),
      this.#table);
  }

  hover(index) {
    if (this.#shown) this.#words(index);
  }

  /** The line that has most, in a sentence. */
  #summary() {
    const { times, lines } = this.#shown;
    const { format } = this.#about;
    const total = ({ values }) => values.reduce((sum, value) => sum + (value ?? 0), 0);
    const { label, values } = lines.reduce((most, line) => (total(line) > total(most) ? line : most));
    const peak = values.reduce((best, value, index) => (known(value) && !(values[best] >= value) ? index : best), 0);
    const name = lines.length > 1 ? `${label}: ` : '';
    return `${name}median ${format(median(values))}, most ${format(values[peak])} at ${clock(times[peak] * 1000)}`;
  }

  #turn() {
    this.#table = this.#table ? null : table(this.#about, this.#shown);
    this.#words();
  }
}

/** The lines as they are now, in steps of some seconds, newest first. It stays as it is:
 *  nobody reads a table that moves. */
function table({ title, format }, { times, lines, from, to }) {
  const step = (to - from) / ROWS;
  const rows = [];
  for (let end = to; end > from; end -= step) {
    const inside = times.map((time, index) => (time > end - step && time <= end ? index : -1)).filter((index) => index >= 0);
    if (inside.length > 0) rows.push(h('tr', null, h('th', { scope: 'row' }, clock((end - step) * 1000)),
      lines.map(({ values }) => h('td', null, most(inside.map((index) => values[index]), format)))));
  }
  const caption = `${title}: the most in each ${Math.round(step)} seconds, as of ${clock(to * 1000)}`;
  return h('div', { class: 'scroll short', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', null, h('caption', null, caption),
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'From'),
        lines.map(({ label }) => h('th', { scope: 'col' }, label)))),
      h('tbody', null, rows)));
}

function most(values, format) {
  const found = values.filter(known);
  return found.length === 0 ? NONE : format(Math.max(...found));
}

function options(chart, { format }, lines) {
  const { grid, words, font, lines: strokes } = palette();
  const axis = { stroke: words, font, ticks: { show: false }, grid: { stroke: grid, width: 1 } };
  const line = ({ label, colour, dash }) => ({
    label, stroke: strokes[colour], width: 1.5, dash: dash ? [4, 3] : undefined,
    fill: lines.length === 1 ? `${strokes[colour]}1f` : undefined,
    points: { show: true, size: 3, fill: strokes[colour], filter: alone },
  });
  return {
    cursor, legend: { show: false }, padding: [8, 14, 0, 0],
    scales: { x: { time: true }, y: { range: (_, __, top) => [0, top > 0 ? top * 1.12 : 1] } },
    axes: [
      { ...axis, size: 24, space: 38, grid: { show: false }, values: moments },
      { ...axis, size: 56, space: 32, values: (_, splits) => splits.map((value) => (value === 0 ? '0' : format(value))) },
    ],
    series: [{}, ...lines.map(line)],
    hooks: { draw: [(plot) => mark(plot, chart.marks)], setCursor: [(plot) => chart.hover(plot.cursor.idx ?? null)] },
  };
}

/** Seconds are told where there are any. */
function moments(_plot, splits) {
  const whole = splits.every((at) => at % 60 === 0);
  return splits.map((at) => (whole ? hour : clock)(at * 1000));
}

/** Points without a neighbour, which no line shows. */
function alone(plot, series, _show, _gaps) {
  const values = plot.data[series];
  const [first, last] = plot.series[0].idxs ?? [0, values.length - 1];
  const found = [];
  for (let index = first; index <= last; index += 1) {
    if (known(values[index]) && !known(values[index - 1]) && !known(values[index + 1])) found.push(index);
  }
  return found;
}

/** A vertical line where something happened, and a word on it, the newest first, where
 *  there is room. */
function mark(plot, marks) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const right = bbox.left + bbox.width;
  const places = marks.map((one) => ({ ...one, x: Math.round(plot.valToPos(one.at, 'x', true)) }));
  const seen = places.filter(({ x }) => x >= bbox.left && x <= right);
  ctx.save();
  ctx.font = palette().font.replace('11px', `${Math.round(10 * ratio)}px`);
  ctx.textBaseline = 'top';
  ctx.textAlign = 'left';
  ctx.lineWidth = ratio;
  ctx.setLineDash([3 * ratio, 3 * ratio]);
  seen.forEach((one) => upright(ctx, bbox, one));
  let free = right;
  for (const { x, label, bad } of seen.reverse()) {
    const width = ctx.measureText(label).width + 6 * ratio;
    const from = Math.min(x + 2 * ratio, right - width);
    if (from + width <= free && from >= bbox.left) {
      word(ctx, { label, bad, from, width, top: bbox.top, ratio });
      free = from;
    }
  }
  ctx.restore();
}

function upright(ctx, { top, height }, { x, bad }) {
  ctx.strokeStyle = bad ? palette().bad : palette().mark;
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
}

function word(ctx, { label, bad, from, width, top, ratio }) {
  ctx.fillStyle = palette().surface;
  ctx.fillRect(from, top, width, 12 * ratio);
  ctx.fillStyle = bad ? palette().bad : palette().mark;
  ctx.fillText(label, from + 3 * ratio, top + ratio);
}
