// The picture in the README: node picture.mjs http://HOST:PORT/ FILE, while `cargo run --example runner` runs there.
import { withChromium } from './chromium.mjs';

const [, , url, path] = process.argv;

await withChromium(async (browser) => {
  const page = await browser.newPage();
  await page.goto(url);
  for (const profile of ['count', 'build']) {
    await page.waitForFunction(() => window.runner.state.connection === 'live');
    await page.selectOption('#profile', profile);
    await page.click('#start');
    await page.waitForFunction((id) => window.runner.state.processId === id, `${profile}-1`);
  }
  await page.waitForFunction(() => window.runner.state.lines > 40, null, { timeout: 120_000 });
  await page.screenshot({ path });
  await page.click('#stop');
  await page.waitForFunction(() => window.runner.state.status !== 'running');
}, { viewport: { width: 1280, height: 800 } });
