// How the page looks and is read: light, dark, on a phone, by keyboard and screen reader.

import AxeBuilder from '@axe-core/playwright';
import { Load } from './support/load.js';
import { expect, LOOKS, served, shot, test } from './support/watched.js';

const held = served();

const GRAVE = new Set(['serious', 'critical']);

/** Requests as they are noted: slow ones, and one that was refused. */
function noted(now) {
  const one = (index) => ({
    at: now - index * 9137, method: 'souk.v1.MerchantGmvService/PredictGmv', code: 'OK', reason: null, model: 'merchant_gmv', version: 1, versions: 1 + (index % 2),
    rows: 8 * index + 1, lane: index % 2 ? 'interactive' : 'bulk', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', took: 0.3 / (index + 1),
    decode: 0.01 / (index + 1), queue: 0.2 / (index + 1), compute: 0.07 / (index + 1), batch_rows: 64,
  });
  const refused = { ...one(3), code: 'RESOURCE_EXHAUSTED', reason: 'queue_full', version: null, trace_id: null, queue: 0, compute: 0, batch_rows: 0 };
  return { slowest: [0, 1, 2, 3, 4].map(one), refused: [refused] };
}

/** Has the server's state tell of these requests, as they do not come by themselves. */
async function withNoted(page) {
  await page.route('**/page/state', async (route) => {
    const reply = await route.fetch();
    const state = await reply.json();
    await route.fulfill({ response: reply, json: { ...state, noted: noted(state.now) } });
  });
  await page.reload();
}

async function grave(page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const told = violations.filter(({ impact }) => GRAVE.has(impact));
  return told.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`);
}

let load;

test.beforeAll(async () => {
  held.server.publish('merchant_gmv', 2);
  held.server.publish('merchant_gmv', 3, (manifest) => ({ ...manifest, files: { ...manifest.files, 'model.pt': '0'.repeat(64) } }));
  load = new Load(held.server.grpc, { callers: 2, pause: 60 });
  await expect.poll(() => held.server.souk('models', 'traffic', 'merchant_gmv', 'stable=1', 'canary=2:20', '--by', 'anna', '--reason', 'trained on November')
    .then(() => 'done', String), { timeout: 60_000 }).toBe('done');
});

test.afterAll(async () => { await load?.stop(); });

for (const [name, look] of Object.entries(LOOKS)) {
  test(`nothing is in the way of anybody: ${name}`, async ({ open }) => {
    const page = await open(held.server, look);
    await withNoted(page);
    await expect(page.getByRole('region', { name: /The slowest requests/ })).toContainText('queue', { ignoreCase: true });
    await expect(page.getByRole('region', { name: /limits of the canary/ })).toBeVisible();
    await page.getByRole('radio', { name: '1 min', exact: true }).check({ force: true });
    await expect.poll(() => page.locator('.chart').first().locator('.summary').textContent()).toContain('median');
    await shot(page, name);
    await page.setViewportSize({ width: look.viewport.width, height: 3600 });
    await page.waitForFunction(() => document.querySelectorAll('canvas').length > 8);
    await shot(page, `${name}-long`);
    await page.setViewportSize(look.viewport);
    await page.getByRole('button', { name: 'Table of Requests' }).first().click();
    expect(await grave(page)).toEqual([]);
    // Nothing is wider than the window: tables scroll by themselves.
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
  });
}

test('the keyboard reaches everything, and one sees where it is', async ({ open }) => {
  const page = await open(held.server);
  await expect(page.getByRole('article', { name: 'user_portrait' })).toBeVisible();
  await expect(page.locator('#events')).toBeVisible();
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the models' })).toBeFocused();
  await expect(page.getByRole('link', { name: 'Skip to the models' })).toBeInViewport();
  const reached = new Set();
  const wanted = await page.evaluate(() => {
    const all = [...document.querySelectorAll('a[href], button, [tabindex="0"], input:checked')];
    all.forEach((element, index) => { element.dataset.place = String(index); });
    return all.length;
  });
  for (let press = 0; press < wanted * 2 && reached.size < wanted; press += 1) {
    const found = await page.evaluate(() => {
      const { activeElement: element } = document;
      const styled = element.matches('input') ? element.nextElementSibling : element;
      return { place: element.dataset.place, outline: getComputedStyle(styled).outlineStyle };
    });
    if (found.place !== undefined) {
      reached.add(found.place);
      expect(found.outline, `place ${found.place} shows the focus`).not.toBe('none');
    }
    await page.keyboard.press('Tab');
  }
  expect(reached.size).toBe(wanted);
});

test('a table and the focus stay as they are while all else moves', async ({ open }) => {
  const page = await open(held.server);
  const button = page.getByRole('button', { name: 'Table of Requests' }).first();
  await button.focus();
  await page.keyboard.press('Enter');
  const table = page.getByRole('region', { name: /^Requests: the most in each/ });
  await expect(table).toBeVisible();
  const said = await table.textContent();
  const at = () => page.locator('.legend b').first().textContent();
  const before = await at();
  await expect.poll(at).not.toBe(before);
  expect(await table.textContent()).toBe(said);
  await expect(button).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(table).toHaveCount(0);
});

test('charts show as much time as is wanted', async ({ open }) => {
  const page = await open(held.server);
  await page.getByRole('radio', { name: '5 min', exact: true }).focus();
  await page.keyboard.press('ArrowLeft');
  await expect(page.getByRole('radio', { name: '1 min', exact: true })).toBeChecked();
  await page.getByRole('button', { name: 'Table of Requests' }).first().click();
  await expect(page.getByRole('region', { name: /^Requests: the most in each 2 seconds/ })).toBeVisible();
});
