// The pages of the small examples in headless Chromium: node examples.mjs CHAT AXUM [FOLDER for screenshots]
import { join } from 'node:path';

import { withChromium } from './chromium.mjs';

const DEADLINE = 10_000; // milliseconds for any one wait
const [, , CHAT, AXUM, SCREENSHOTS] = process.argv;

async function open(browser, url) {
  const page = await browser.newPage();
  page.setDefaultTimeout(DEADLINE);
  page.on('pageerror', (error) => fail(error.message));
  await page.goto(url);
  return page;
}

function fail(text) {
  console.log(`FAILED ${text}`);
  process.exit(1);
}

/** Waits until something shows this text. */
const shows = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor();

async function chat(browser) {
  const [ann, ben] = [await open(browser, CHAT), await open(browser, CHAT)];
  for (const [page, name] of [[ann, 'Ann'], [ben, 'Ben']]) {
    await shows(page, '#state', 'connected');
    await page.locator('#say').waitFor({ state: 'hidden' });
    await page.fill('#name', name);
    await page.click('#enter button');
    await page.locator('#enter').waitFor({ state: 'hidden' });
  }
  await shows(ann, '#log .note', 'Ben is here');
  await shows(ann, '#members', '2 here');
  await ann.fill('#text', 'Hello <b>Ben</b>');
  await ann.keyboard.press('Enter');
  await shows(ben, '#log li', 'Hello <b>Ben</b>');
  await shows(ann, '#log .mine small', 'delivered to 1');
  await ben.fill('#text', 'Hi!');
  await ben.keyboard.press('Enter');
  await shows(ann, '#log li', 'Hi!');
  if (SCREENSHOTS) await ann.screenshot({ path: join(SCREENSHOTS, 'chat.png') });
  await ben.close();
  await shows(ann, '#log .note', 'Ben has left');
  await shows(ann, '#members', 'only you');
}

async function counter(browser) {
  const [ann, ben] = [await open(browser, AXUM), await open(browser, AXUM)];
  await shows(ben, '#count', /^0$/);
  await ann.click('#add');
  for (const page of [ann, ben]) await shows(page, '#count', /^1$/);
}

await withChromium(async (browser) => {
  for (const [name, run] of [['chat', chat], ['axum', counter]]) {
    await run(browser).catch((error) => fail(`${name}: ${error.message}`));
    console.log(`ok ${name}`);
  }
}, { viewport: { width: 900, height: 500 } });
console.log('2 passed, 0 failed');
