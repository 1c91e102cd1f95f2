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
    await expect(page.locator('#overview tbody tr').first()).not.toContainText(' 0 0');
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
