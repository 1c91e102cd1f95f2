// Numbers, durations and moments, as people read them. Nothing here knows the page.

const LONG = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const HOUR = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

/** What there is no number for. */
export const NONE = '–';

/** Whether there is a number to show. */
export const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** Three digits, but all those of whole numbers: `0.0123`, `12.3`, `12,345`. */
export function number(value) {
  if (!known(value)) return NONE;
  return Math.abs(value) >= 100 ? WHOLE.format(value) : LONG.format(value);
}

/** A whole number. */
export const count = (value) => (known(value) ? WHOLE.format(value) : NONE);

/** A share of 1: `12.5 %`. */
export const percent = (share) => (known(share) ? `${number(share * 100)} %` : NONE);

/** `2.5 ×`. */
export const times = (ratio) => (known(ratio) ? `${number(ratio)} ×` : NONE);

/** Seconds in the unit in which they are short: `120 µs`, `4.1 ms`, `2.5 s`. */
export function took(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds === 0) return '0';
  if (seconds < 0.001) return `${number(seconds * 1e6)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3)} ms`;
  return `${number(seconds)} s`;
}

const UNITS = [['y', 31_557_600], ['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]];

/** Seconds in two units at most: `3 d 4 h`, `12 s`. */
export function lasting(seconds) {
  if (!known(seconds)) return NONE;
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [unit, length] of UNITS) {
    const whole = Math.floor(left / length);
    left -= whole * length;
    // The second part follows the first one at once, or says nothing: `1 y`, not `1 y 5 s`.
    if (whole > 0) parts.push(`${whole} ${unit}`);
    if (parts.length === 2 || (parts.length === 1 && whole === 0)) break;
  }
  return parts.join(' ') || '0 s';
}

/** The time of day, by the clock of whoever looks. */
export const clock = (millis) => CLOCK.format(millis);

/** The same without its seconds. */
export const hour = (millis) => HOUR.format(millis);

/** The day too, where it is another one than `now`'s. */
export function moment(millis, now) {
  const day = DAY.format(millis);
  return day === DAY.format(now) ? clock(millis) : `${day}, ${clock(millis)}`;
}

/** For a title: the moment in UTC. */
export const utc = (millis) => `${new Date(millis).toISOString().replace('T', ' ').slice(0, 19)} UTC`;

/** The value in the middle; null where there is none. */
export function median(values) {
  const sorted = values.filter(known).sort((one, other) => one - other);
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)];
}

/** `one`, `one and another`, `one, two and three`. */
export function list(words) {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

/** The colour of a version, wherever it is shown: a number of the style sheet's. */
export const colour = (version) => ((version ?? 1) + 4) % 5;
