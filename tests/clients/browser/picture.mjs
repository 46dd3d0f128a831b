// The picture in the README: node picture.mjs http://HOST:PORT/ FILE [light], while `cargo run --example runner` runs there.
import { withChromium } from './chromium.mjs';

const [, , url, path, colorScheme = 'dark'] = process.argv;
const options = { viewport: { width: 1280, height: 800 }, colorScheme };

await withChromium(async (browser) => {
  const page = await browser.newPage();
  await page.goto(url);
  await page.waitForFunction(() => window.runner.state.connection === 'live');
  const is = (wanted, timeout = 120_000) =>
    page.waitForFunction((wanted) => Object.entries(wanted).every(([key, value]) => window.runner.state[key] === value), wanted, { timeout });
  const start = async (profile, id) => {
    await page.selectOption('#profile', profile);
    await page.fill('#run-id', id);
    await page.click('#start');
    await is({ processId: id });
  };
  const say = async (line, answer) => {
    await page.fill('#input', line);
    await page.press('#input', 'Enter');
    await page.waitForFunction((answer) => window.runner.text().includes(answer), answer);
  };

  await start('colours', 'colours');
  await is({ status: 'exited' });
  await start('flood', 'flood');
  await is({ status: 'exited' });
  await start('count', 'count-1');
  await page.waitForFunction(() => window.runner.state.lines > 30);
  await page.click('#stop');
  await is({ status: 'killed' });
  await start('count', 'count-2');
  await start('ask', 'ask');
  await say('Ann', 'Hello, Ann');
  await say('40', '40 so far');
  await say('two', 'no number');
  await start('build', 'build');
  await page.waitForFunction(() => window.runner.state.lines > 40, null, { timeout: 300_000 });
  await page.screenshot({ path });
  for (const id of ['build', 'ask', 'count-2']) {
    await page.click(`#runs button[data-id="${id}"]`);
    await is({ processId: id });
    if (await page.isVisible('#stop')) await page.click('#stop');
    await page.waitForFunction(() => window.runner.state.status !== 'running');
  }
}, options);
