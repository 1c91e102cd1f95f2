// What changes on the page while somebody looks: load, swaps, a server that ends.

import { Load } from './support/load.js';
import { Server } from './support/server.js';
import { expect, served, shot, test } from './support/watched.js';

const held = served();

/** The number in a chart's legend, e.g. that of its line `requests`. */
const value = (page, chart, line) => page.getByRole('article', { name: 'merchant_gmv' }).locator('figure', { hasText: chart })
  .locator('.legend li', { hasText: line }).locator('b');

const number = async (locator) => Number((await locator.textContent()).replace(/[^0-9.]/g, '') || 0);

test('charts move under load', async ({ open }) => {
  const page = await open(held.server);
  const requests = value(page, 'Requests', 'requests');
  await expect(requests).toHaveText('0');
  const canvas = page.getByRole('article', { name: 'merchant_gmv' }).locator('canvas').first();
  await expect(canvas).toBeVisible();
  const before = await canvas.evaluate((element) => element.toDataURL());
  const load = new Load(held.server.grpc);
  try {
    await expect.poll(() => number(requests)).toBeGreaterThan(0);
    await expect.poll(() => canvas.evaluate((element) => element.toDataURL())).not.toBe(before);
    const heads = await page.locator('#overview thead th').allTextContents();
    const rate = page.locator('#overview tbody tr', { hasText: 'merchant_gmv' }).locator('th, td').nth(heads.indexOf('Requests/s'));
    await expect.poll(() => number(rate)).toBeGreaterThan(0);
    // What it says in words moves with it.
    await expect(page.getByRole('img', { name: /^Requests, to versions, \/s\. median .* at \d\d:\d\d:\d\d$/ }).first()).toBeAttached();
    await expect(page.locator('#calls tbody')).toContainText('PredictGmv');
  } finally {
    await load.stop();
  }
  expect(load.answered).toBeGreaterThan(0);
  await expect.poll(() => number(requests)).toBe(0);
});

test('a swap appears within three seconds', async ({ open }) => {
  const page = await open(held.server);
  const arms = page.locator('#overview tbody tr', { hasText: 'merchant_gmv' }).locator('.arms');
  await expect(arms).toHaveText('stable 1');
  held.server.publish('merchant_gmv', 2);
  // It answers once it has proved itself; from then on the time counts.
  await expect(arms).toHaveText('stable 2');
  for (const [version, other] of [[1, 2], [2, 1]]) {
    await held.server.souk('models', 'traffic', 'merchant_gmv', `stable=${version}`, '--by', 'anna', '--reason', 'a test');
    await expect(arms, `${version} after ${other}`).toHaveText(`stable ${version}`, { timeout: 3000 });
  }
  const article = page.getByRole('article', { name: 'merchant_gmv' });
  await expect(article.getByRole('region', { name: /changes of who answers/ })).toContainText('anna (127.0.0.1)');
  await expect(page.locator('#events')).toContainText('a test');
});

test('versions on trial are shown with what they would be taken back for', async ({ open }) => {
  const page = await open(held.server);
  const article = page.getByRole('article', { name: 'merchant_gmv' });
  await held.server.souk('models', 'traffic', 'merchant_gmv', 'stable=1', 'canary=2:30');
  const load = new Load(held.server.grpc);
  try {
    await expect(article.getByRole('region', { name: /how answers of two versions differ/ })).toContainText('expected_gmv');
    await expect(article.getByRole('region', { name: /limits of the canary/ })).toContainText('rows that fail');
    await expect(article.locator('h5', { hasText: 'Guard' })).toContainText('guarded');
    await expect(article.getByRole('img', { name: /^Shares of merchant_gmv: stable 1: 70 %, canary 2: 30 %$/ })).toBeVisible();
    await expect(article.locator('figure', { hasText: 'Rows by version' })).toContainText('version 2');
  } finally {
    await load.stop();
  }
  await held.server.souk('models', 'rollback', 'merchant_gmv');
  await expect(page.locator('#overview tbody tr', { hasText: 'merchant_gmv' }).locator('.arms')).not.toContainText('canary');
});

test('a version that stays out is told with its problems', async ({ open }) => {
  const page = await open(held.server);
  held.server.publish('user_portrait', 2, (manifest) => ({ ...manifest, files: { ...manifest.files, 'model.pt': '0'.repeat(64) } }));
  await expect(page.locator('.attention')).toContainText('user_portrait 2 was rejected: model.pt');
  await expect(page.locator('#said')).toContainText('need');
  const article = page.getByRole('article', { name: 'user_portrait' });
  await expect(article.getByRole('region', { name: /versions/ })).toContainText('rejected');
});

test('a server that ends is told, with how old the data are, and one that comes back is followed', async ({ open }) => {
  const server = await Server.start(['merchant_gmv']);
  try {
    const page = await open(server);
    await expect(page.locator('#age')).toHaveText('live');
    await page.waitForFunction(() => document.querySelectorAll('canvas').length > 0);
    await server.stop();
    await expect(page.getByRole('alert')).toContainText('The server does not answer');
    await expect(page.locator('#age')).toHaveText(/^\d+ s old$/);
    await expect(page.getByRole('article', { name: 'merchant_gmv' })).toBeVisible();
    await shot(page, 'old');
    await server.again();
    await expect(page.locator('#age')).toHaveText('live');
    await expect(page.getByRole('alert')).toBeEmpty();
  } finally {
    await server.remove();
  }
});

test('who asks twice at once, or is told again what is known, has no point twice', async ({ open }) => {
  const page = await open(held.server);
  const load = new Load(held.server.grpc);
  try {
    await expect(page.locator('#calls tbody')).toContainText('PredictGmv');
    const found = await page.evaluate(async () => {
      const { Feed } = await import('/page/feed.js');
      const feed = new Feed();
      await feed.ask();
      const begun = feed.times.length;
      while (feed.times.length < begun + 3) {
        await Promise.all([feed.ask(), feed.ask()]);
        await new Promise((done) => { setTimeout(done, 300); });
      }
      // An answer to an older question: all points once more.
      const own = window.fetch;
      window.fetch = (path, options) => own(path.split('?')[0], options);
      await feed.ask();
      const lengths = feed.select('calls').map((one) => one.values.length);
      return { failure: String(feed.failure), times: feed.times, lengths: [...new Set(lengths)] };
    });
    expect(found.failure).toBe('null');
    expect(found.lengths).toEqual([found.times.length]);
    found.times.slice(1).forEach((time, index) => expect(time).toBeGreaterThan(found.times[index]));
  } finally {
    await load.stop();
  }
});

test('an answer that cannot be shown is told, and the next one is', async ({ browser }) => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(held.server.url);
  await expect(page.locator('#age')).toHaveText('live');
  await page.route('**/page/state', async (route) => {
    const reply = await route.fetch();
    await route.fulfill({ response: reply, json: { ...await reply.json(), models: null } });
  });
  await expect(page.locator('#age')).toHaveText(/^\d+ s old$/);
  await expect(page.getByRole('alert')).toContainText('cannot be shown');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  await expect(page.locator('#age')).toHaveText('live');
  await expect(page.getByRole('alert')).toBeEmpty();
  await page.context().close();
});

test('a model that is gone is shown no longer, and has charts again when it is back', async ({ open }) => {
  const page = await open(held.server);
  await expect(page.getByRole('article', { name: 'user_portrait' })).toBeVisible();
  await page.route('**/page/state', async (route) => {
    const reply = await route.fetch();
    const state = await reply.json();
    await route.fulfill({ response: reply, json: { ...state, models: state.models.filter(({ name }) => name !== 'user_portrait') } });
  });
  await expect(page.getByRole('article', { name: 'user_portrait' })).toHaveCount(0);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  const back = page.getByRole('article', { name: 'user_portrait' });
  await back.scrollIntoViewIfNeeded();
  await expect(back.locator('canvas').first()).toBeVisible();
});

test('more lines than a chart has colours are told as others, and percentiles are never added up', async ({ open }) => {
  const page = await open(held.server);
  const methods = [...'abcdefgh'].map((letter, index) => ({ of: `x.Y/${letter}`, rate: index === 0 ? 500 : 10 + index }));
  await page.route('**/page/history*', async (route) => {
    const reply = await route.fetch();
    const points = await reply.json();
    const values = (value) => points.times.map(() => value);
    const made = methods.flatMap(({ of, rate }) => [{ figure: 'calls', of, by: 'OK', values: values(rate) }, { figure: 'call_p99', of, values: values(rate) }]);
    await route.fulfill({ response: reply, json: { ...points, series: [...made, { figure: 'call_p99', of: 'z.Y/a', values: values(3) }] } });
  });
  await page.reload();
  const legend = (chart) => page.locator('#calls figure', { hasText: chart }).locator('.legend li');
  await expect(legend('Calls by method')).toHaveText(['a500', 'e14', 'f15', 'g16', 'h17', 'others36']);
  await expect(legend('Latency by method')).toHaveText(['a500 s', 'd13 s', 'e14 s', 'f15 s', 'g16 s', 'h17 s']);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('a server without a model says what to do', async ({ open }) => {
  const server = await Server.start([]);
  try {
    const page = await open(server);
    await expect(page.locator('.attention')).toContainText('There is no model yet');
    await expect(page.locator('.attention')).toContainText('souk import');
    await expect(page.locator('.server')).toContainText('not ready');
  } finally {
    await server.remove();
  }
});

test('nobody is asked while the page is paused', async ({ open }) => {
  const page = await open(held.server);
  await expect(page.locator('#age')).toHaveText('live');
  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.locator('#age')).toHaveText(/old$/);
  let asked = 0;
  page.on('request', () => { asked += 1; });
  // What was on the way when it was paused may still come; the age goes on for three seconds more.
  await expect(page.locator('#age')).toHaveText(/^[3-9] s old$/);
  expect(asked).toBe(0);
  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.locator('#age')).toHaveText('live');
});
