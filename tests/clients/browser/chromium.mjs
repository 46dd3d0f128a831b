// Headless Chromium with a profile of its own, gone with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { chromium } = createRequire(new URL('../node/', import.meta.url))('playwright-core');

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Runs `use` with a browser context, and returns what that returns. */
export async function withChromium(use, options = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'eventwire-chromium-'));
  let browser;
  try {
    const executablePath = '/usr/bin/chromium';
    browser = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS, ...options });
    return await use(browser);
  } finally {
    await browser?.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
