// How the page is driven: Debian's Chromium, one test at a time, as each has a server.

import { execFileSync } from 'node:child_process';
import { defineConfig } from '@playwright/test';

/** Where Chromium is; without it nothing here can be tested. */
function chromium() {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch { /* the next one */ }
  }
  throw new Error('missing: chromium (on Debian: sudo apt-get install -y --no-install-recommends chromium)');
}

export default defineConfig({
  testDir: '.',
  outputDir: '../../target/page/failed',
  // A server starts in seconds, and a loaded machine may take longer over all.
  timeout: 120_000,
  expect: { timeout: 30_000 },
  workers: 1,
  forbidOnly: true,
  reporter: [['list']],
  use: {
    launchOptions: { executablePath: chromium() },
    viewport: { width: 1440, height: 1000 },
    screenshot: 'only-on-failure',
  },
});
