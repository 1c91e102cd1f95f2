// A test whose page must be quiet: no error, no word on the console, no request to another host.

import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test as base } from '@playwright/test';
import { Server } from './server.js';

const SHOTS = resolve(import.meta.dirname, '../../../target/page');

/** Like Playwright's, with `open(server, options)`, after which the page is watched until the test ends. */
export const test = base.extend({
  open: async ({ browser }, use) => {
    const all = [];
    await use(async (server, options = {}) => {
      const page = await (await browser.newContext(options)).newPage();
      all.push(watched(page, server));
      await page.goto(server.url);
      return page;
    });
    for (const { page, said, asked, host } of all) {
      await page.context().close();
      expect(said, 'the console is quiet').toEqual([]);
      expect([...asked], 'nobody else is asked').toEqual([host]);
    }
  },
});

function watched(page, server) {
  const found = { page, said: [], asked: new Set(), host: server.http };
  // Where the server is gone, Chromium says so itself.
  const is = (text) => !text.includes('net::ERR_CONNECTION');
  page.on('console', (message) => { if (is(message.text())) found.said.push(`${message.type()}: ${message.text()}`); });
  page.on('pageerror', (error) => found.said.push(error.stack));
  page.on('request', (request) => found.asked.add(new URL(request.url()).host));
  return found;
}

/** A server for all tests of a file. */
export function served(models) {
  const held = {};
  base.beforeAll(async () => { held.server = await Server.start(models); });
  base.afterAll(async () => { await held.server?.remove(); });
  return held;
}

/** Keeps what the page looks like in target/page, for people. */
export async function shot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: resolve(SHOTS, `${name}.png`) });
}

/** The light, the dark, and a phone. */
export const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1440, height: 1000 } },
  dark: { colorScheme: 'dark', viewport: { width: 1440, height: 1000 } },
  phone: { colorScheme: 'light', viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

export { expect };
