// The runner's page in headless Chromium: node runner.mjs http://HOST:PORT/ GO [FOLDER for screenshots]
// The runner has the profiles of tests/runner.rs; `lines` waits in its middle for the file GO.
// Tabs reach the runner through a passage of ours, so that a connection can be cut.
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';

import { withChromium } from './chromium.mjs';

const DEADLINE = 10_000; // milliseconds for any one wait
const SERVER = new URL(process.argv[2]);
const GO = process.argv[3];
const SCREENSHOTS = process.argv[4];
const steps = [];

const through = new Set();
const passage = net.createServer((client) => {
  const upstream = net.connect(SERVER.port, SERVER.hostname).setNoDelay();
  client.setNoDelay().pipe(upstream).pipe(client);
  for (const end of [client, upstream]) {
    through.add(end);
    end.on('error', () => {}).on('close', () => (client.destroy(), upstream.destroy(), through.delete(end)));
  }
});
await new Promise((listening) => passage.listen(0, '127.0.0.1', listening));
const PAGE = `http://127.0.0.1:${passage.address().port}/`;
const profiles = await (await fetch(new URL('profiles', SERVER))).json();

/** What a profile's command writes to its standard output, as a page shows it. */
const truth = (name) => {
  const { command } = profiles.find((profile) => profile.name === name);
  const options = { encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] };
  return execFileSync('sh', ['-c', command], options).replace(/\x1b\[[0-9;]*m/g, '').replace(/\n$/, '');
};

function check(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

function same(got, wanted, what) {
  if (got === wanted) return;
  let at = 0;
  while (got[at] === wanted[at]) at++;
  const around = (text) => JSON.stringify(text.slice(Math.max(0, at - 40), at + 40));
  throw new Error(`${what}: ${got.length} characters instead of ${wanted.length}, other from ${at}: ${around(got)}, wanted ${around(wanted)}`);
}

/** One tab that watches a run. */
class Tab {
  static async open(browser, id = '') {
    const tab = new Tab();
    tab.page = await browser.newPage();
    tab.page.on('pageerror', (error) => (tab.error = error));
    tab.page.on('dialog', () => (tab.error = new Error('a dialog')));
    await tab.page.goto(PAGE + (id && `#${id}`));
    await tab.is({ connection: 'live' });
    // Its rooms are joined once a later request is answered.
    await tab.page.evaluate(() => wire.request('process_list'));
    return tab;
  }

  state() {
    return this.page.evaluate(() => window.runner.state);
  }

  text() {
    return this.page.evaluate(() => window.runner.text());
  }

  /** Waits until the state is so. */
  async is(wanted) {
    const holds = (wanted) => Object.entries(wanted).every(([key, value]) => window.runner.state[key] === value);
    try {
      await this.page.waitForFunction(holds, wanted, { timeout: DEADLINE, polling: 20 });
    } catch {
      throw new Error(`wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(await this.state())}`);
    }
    if (this.error) throw this.error;
  }

  async prints(text) {
    const contains = (text) => window.runner.text().includes(text);
    await this.page.waitForFunction(contains, text, { timeout: DEADLINE, polling: 20 });
  }

  /** What has come is drawn a frame later. */
  async draws(selector, count) {
    const drawn = ([selector, count]) => document.querySelectorAll(selector).length === count;
    await this.page.waitForFunction(drawn, [selector, count], { timeout: DEADLINE, polling: 20 });
  }

  async shows(selector, pattern) {
    const matches = ([selector, source]) => {
      const element = document.querySelector(selector);
      return element?.checkVisibility() && new RegExp(source).test(element.textContent);
    };
    try {
      await this.page.waitForFunction(matches, [selector, pattern.source], { timeout: DEADLINE, polling: 20 });
    } catch {
      throw new Error(`${selector} wants ${pattern}, got ${await this.page.textContent(selector)}`);
    }
  }

  async start(profile, id) {
    await this.page.selectOption('#profile', profile);
    await this.page.fill('#run-id', id);
    await this.page.click('#start');
  }

  async picture(name) {
    if (SCREENSHOTS) await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }
}

const step = (name, run) => steps.push([name, run]);

step('two tabs watch the same run live', async (browser) => {
  const ann = await Tab.open(browser, 'lines-a');
  const ben = await Tab.open(browser, 'lines-a');
  await ann.start('lines', 'lines-a');
  for (const tab of [ann, ben]) {
    await tab.prints('line 50');
    await tab.shows('#status', /^Running$/);
    check((await tab.state()).status === 'running' && !(await tab.text()).includes('line 51'), 'it is seen while it runs');
  }
  await ann.picture('running');
  await writeFile(GO, '');
  const wanted = truth('lines');
  for (const tab of [ann, ben]) {
    await tab.is({ status: 'exited', exitCode: 0, missed: 0 });
    await tab.shows('#status', /^Succeeded with exit code 0 after /);
    // Errors come between the lines; which line they come after is not said.
    const lines = (await tab.text()).split('\n');
    same(lines.filter((line) => line.startsWith('line')).join('\n'), wanted, 'output');
    same(lines.filter((line) => line.startsWith('that')).join('\n'), 'that makes 50\nthat makes 100', 'errors');
    await tab.draws('#log .stderr', 2);
  }
  await ann.picture('succeeded');
});

step('colours are shown, and tags are text', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('colours', 'colours-a');
  await tab.is({ processId: 'colours-a', status: 'exited', exitCode: 0 });
  same(await tab.text(), truth('colours'), 'text');
  await tab.draws('#log .row span', 3);
  const facts = (span) => {
    const { color, backgroundColor, fontWeight } = getComputedStyle(span);
    return [span.textContent, color, backgroundColor, fontWeight];
  };
  const spans = await Promise.all((await tab.page.locator('#log .row span').all()).map((span) => span.evaluate(facts)));
  const plain = await tab.page.evaluate(() => getComputedStyle(document.querySelector('#log')).color);
  const [green, orange, ground] = spans;
  check(green[0] === 'green' && green[1] !== plain, `green: ${green}`);
  check(orange[0] === 'orange' && orange[1] === 'rgb(255, 135, 0)' && orange[3] === '700', `orange: ${orange}`);
  check(ground[0] === 'ground' && ground[2] !== 'rgba(0, 0, 0, 0)', `ground: ${ground}`);
  check((await tab.page.locator('#log img').count()) === 0, 'output makes no elements');
  await tab.picture('colours');
});

step('progress stays on its line', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('progress', 'progress-a');
  await tab.is({ processId: 'progress-a', status: 'exited' });
  same(await tab.text(), '100 %\ndone', 'text');
});

step('much output arrives whole', async (browser) => {
  const tab = await Tab.open(browser);
  for (const profile of ['many', 'bytewise']) {
    await tab.start(profile, `${profile}-a`);
    const wanted = truth(profile);
    const lines = wanted.split('\n').length;
    await tab.is({ processId: `${profile}-a`, status: 'exited', missed: 0, lines });
    // The page keeps the last 100,000 lines, dropping 100 at a time.
    const text = await tab.text();
    check(text.split('\n').length >= Math.min(lines, 99_900), `only ${text.split('\n').length} lines are kept`);
    same(text, wanted.slice(-text.length), profile);
  }
});

step('failures and kills are told', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('fails', 'fails-a');
  await tab.is({ processId: 'fails-a', status: 'exited', exitCode: 3 });
  await tab.shows('#status', /^Failed with exit code 3 after /);
  same(await tab.text(), 'oops', 'text');
  check(await tab.page.isHidden('#stop'), 'what has ended cannot be stopped');
  await tab.picture('failed');
  await tab.start('dies', 'dies-a');
  await tab.is({ processId: 'dies-a', status: 'killed', exitCode: -1, signal: 'SIGKILL' });
  await tab.shows('#status', /^Killed by SIGKILL/);
});

step('the second tab stops it, the first sees it', async (browser) => {
  const ann = await Tab.open(browser, 'counts-a');
  await ann.start('counts', 'counts-a');
  await ann.is({ status: 'running' });
  const ben = await Tab.open(browser);
  await ben.page.click('#runs button[title="counts-a"]');
  await ben.is({ processId: 'counts-a', status: 'running' });
  await ben.prints('\nline');
  await ben.page.click('#stop');
  for (const tab of [ann, ben]) {
    await tab.is({ status: 'killed', signal: 'SIGTERM' });
    await tab.shows('#status', /^Killed by SIGTERM after /);
  }
  check((await ann.state()).missed === 0 && (await ann.text()).startsWith('line 1\nline 2\n'), 'the first has seen all');
  check((await ben.state()).missed > 0, 'the second is told that it came later');
  await ben.picture('stopped');
});

step('after the connection was cut it goes on', async (browser) => {
  const tab = await Tab.open(browser, 'counts-b');
  await tab.start('counts', 'counts-b');
  await tab.prints('line 5\n');
  for (const end of [...through]) end.destroy();
  await tab.is({ connection: 'waiting' });
  await tab.picture('cut');
  const before = (await tab.text()).length;
  await tab.is({ connection: 'live', status: 'running' });
  await tab.page.waitForFunction((before) => window.runner.text().length > before + 100, before, { timeout: DEADLINE });
  const { missed } = await tab.state();
  check(missed > 0, 'what was missed is told');
  await tab.shows('#log .chunk .note', /bytes missed/);
  await tab.page.click('#stop');
  await tab.is({ status: 'killed' });
});

step('refusals are shown', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('counts', 'counts-c');
  await tab.is({ processId: 'counts-c', status: 'running' });
  await tab.start('fails', 'counts-c');
  await tab.shows('#refusal', /^a process of this id runs$/);
  await tab.picture('refused');
  await tab.page.evaluate(() => document.querySelector('#profile').append(new Option('unknown', 'unknown')));
  await tab.start('unknown', 'other');
  await tab.shows('#refusal', /^there is no profile `unknown`/);
  check((await tab.state()).processId === 'counts-c', 'the run on show stays');
  await tab.page.click('#stop');
  await tab.is({ status: 'killed' });
});

step('on a small screen', async (browser) => {
  const tab = await Tab.open(browser, 'lines-a');
  await tab.page.setViewportSize({ width: 390, height: 780 });
  await tab.start('fails', 'fails-b');
  await tab.is({ processId: 'fails-b', status: 'exited' });
  const overflow = await tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(overflow <= 0, `the page is ${overflow} px too wide`);
  await tab.picture('small');
});

let passed = 0;
try {
  await withChromium(async (browser) => {
    for (const [name, run] of steps) {
      const begun = Date.now();
      try {
        await run(browser);
      } catch (error) {
        throw new Error(`${name}: ${error.message}`);
      }
      for (const page of browser.pages().slice(1)) await page.close();
      console.log(`ok ${name} (${Date.now() - begun} ms)`);
      passed++;
    }
  }, { viewport: { width: 1280, height: 800 } });
} catch (error) {
  console.log(`FAILED ${error.message}`);
}
console.log(`${passed} passed, ${steps.length - passed} failed`);
process.exit(passed === steps.length ? 0 : 1);
