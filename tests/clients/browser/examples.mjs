// The pages of the small examples in headless Chromium: node examples.mjs CHAT AXUM [FOLDER for screenshots]
import { Tab, runSteps, step } from './steps.mjs';

const [, , CHAT, AXUM, SCREENSHOTS] = process.argv;
Tab.pictures = SCREENSHOTS;

step('chat', async (browser) => {
  const [ann, ben] = [await Tab.load(browser, CHAT), await Tab.load(browser, CHAT)];
  for (const [tab, name] of [[ann, 'Ann'], [ben, 'Ben']]) {
    await tab.shows('#state', /^connected$/);
    await tab.page.locator('#say').waitFor({ state: 'hidden' });
    await tab.page.fill('#name', name);
    await tab.page.click('#enter button');
    await tab.page.locator('#enter').waitFor({ state: 'hidden' });
  }
  await ann.shows('#log .note', /^Ben is here$/);
  await ann.shows('#members', /^2 here$/);
  await ann.page.fill('#text', 'Hello <b>Ben</b>');
  await ann.page.keyboard.press('Enter');
  await ben.shows('#log li', /Hello <b>Ben<\/b>$/);
  await ann.shows('#log .mine small', /^delivered to 1$/);
  await ben.page.fill('#text', 'Hi!');
  await ben.page.keyboard.press('Enter');
  await ann.shows('#log li', /Hi!$/);
  await ann.picture('chat');
  await ben.page.close();
  await ann.shows('#log .note', /^Ben has left$/);
  await ann.shows('#members', /^only you$/);
});

step('axum', async (browser) => {
  const [ann, ben] = [await Tab.load(browser, AXUM), await Tab.load(browser, AXUM)];
  await ben.shows('#count', /^0$/);
  await ann.page.click('#add');
  for (const tab of [ann, ben]) await tab.shows('#count', /^1$/);
});

await runSteps({ width: 900, height: 500 });
