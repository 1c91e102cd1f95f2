// The page: asks once a second while somebody looks, and shows what was answered.

import { found } from '/page/attention.js';
import { Feed } from '/page/feed.js';
import { models } from '/page/model.js';
import { overview, server } from '/page/overview.js';
import { calls, events, requests } from '/page/requests.js';
import { h, show } from '/page/tree.js';
import { clock, lasting } from '/page/words.js';

/** Milliseconds from one question to the next. */
const SECOND = 1000;

/** Seconds from which on what is shown is called old. */
const OLD = 3;

const place = (id) => document.getElementById(id);

const feed = new Feed();
const view = { seconds: 300, paused: false, opened: new Set(), render };
/** When what is shown was answered, and whether the last answer could not be shown. */
let shown = null;
let broken = false;
let version = null;
let said = '';

/** Everything that the last answer tells. */
function render() {
  const { state } = feed;
  if (!state) return;
  const told = found(feed);
  document.title = `${told.some((one) => one.kind === 'bad') ? '! ' : ''}${state.server.host} – Souk`;
  show(place('server'), server(feed));
  show(place('content'), overview(feed, view, told), models(feed, view), calls(feed, view), requests(feed), events(feed));
  say(told);
}

/** Tells screen readers what needs attention, once for each time that it changes. */
function say(told) {
  const now = told.filter((one) => one.kind === 'bad').map((one) => one.key).join();
  if (now === said) return;
  said = now;
  const { length } = told;
  place('said').textContent = length === 0 ? 'Nothing needs attention.' : `${length === 1 ? 'One thing needs' : `${length} things need`} attention.`;
}

/** How old is what is shown; each second, also where nobody answers. */
function age() {
  const seconds = shown ? (performance.now() - shown.at) / 1000 : 0;
  const old = !view.paused && (shown ? seconds > OLD : feed.failure !== null || broken);
  document.body.classList.toggle('old', old);
  const how = view.paused ? 'paused' : old ? 'old' : 'live';
  place('age').className = `age ${how}`;
  place('age').textContent = !shown ? '' : view.paused || old ? `${lasting(seconds)} old` : 'live';
  notice(old);
}

function notice(old) {
  const why = feed.failure ? 'The server does not answer' : broken && 'The server’s last answer cannot be shown';
  // Its words stay the same while it is so: it is read aloud when it comes.
  show(place('notice'), old && why && h('p', { class: 'notice' }, shown
    ? `${why}. What is shown is as of ${clock(shown.now)}; it is asked again each second.`
    : `${why}; it is asked again each second.`));
}

/** Shows the last answer, and knows whether that went well. */
function refresh() {
  broken = true;
  render();
  broken = false;
  shown = { at: performance.now(), now: feed.now };
}

async function ask() {
  await feed.ask();
  const now = feed.state?.server.version;
  // Another program has another page.
  if (version !== null && now !== version) location.reload();
  version = now ?? version;
  try {
    if (!feed.failure) refresh();
  } finally {
    age();
  }
}

/** Asks, and again a second after it began to ask; not while nobody looks. */
async function follow() {
  const begun = performance.now();
  try {
    if (document.visibilityState === 'visible' && !view.paused) await ask();
  } finally {
    // Also after what went wrong, which the console tells: the next answer may do.
    setTimeout(follow, Math.max(SECOND - (performance.now() - begun), SECOND / 4));
  }
}

place('pause').addEventListener('click', () => {
  view.paused = !view.paused;
  place('pause').setAttribute('aria-pressed', String(view.paused));
  age();
});

place('window').addEventListener('change', (event) => {
  view.seconds = Number(event.target.value);
  render();
});

setInterval(age, SECOND);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && !view.paused) ask();
});
follow();
