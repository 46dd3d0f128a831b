// The runner's page in headless Chromium: node runner.mjs http://HOST:PORT/ GO [FOLDER for screenshots]
// The runner has the profiles of tests/runner.rs; `lines` waits in its middle for the file GO.
// `leaves` takes away the folder in which commands run.
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';

import { Passage, Tab as Page, check, runSteps, step } from './steps.mjs';

const SERVER = process.argv[2];
const GO = process.argv[3];
Page.pictures = process.argv[4];

const profiles = await (await fetch(new URL('profiles', SERVER))).json();

/** What a profile's command writes to its standard output, as a page shows it. */
const truth = (name) => {
  const { command } = profiles.find((profile) => profile.name === name);
  const options = { encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] };
  return execFileSync('sh', ['-c', command], options).replace(/\x1b\[[0-9;]*m/g, '').replace(/\n$/, '');
};

function same(got, wanted, what) {
  if (got === wanted) return;
  let at = 0;
  while (got[at] === wanted[at]) at++;
  const around = (text) => JSON.stringify(text.slice(Math.max(0, at - 40), at + 40));
  throw new Error(`${what}: ${got.length} characters instead of ${wanted.length}, other from ${at}: ${around(got)}, wanted ${around(wanted)}`);
}

/** One tab that watches a run. */
class Tab extends Page {
  static async open(browser, id = '', url = SERVER) {
    const tab = await Tab.load(browser, url + (id && `#${id}`));
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

  async prints(text) {
    const contains = (text) => window.runner.text().includes(text) || window.runner.text().slice(-200);
    await this.until(`wanted ${JSON.stringify(text)}, got at last`, () => this.page.evaluate(contains, text));
  }

  /** What has come is drawn a frame later. */
  async draws(selector, count) {
    await this.until(`wanted ${count} of ${selector}, got`, async () => {
      const drawn = await this.page.locator(selector).count();
      return drawn === count || drawn;
    });
  }

  async start(profile, id) {
    await this.page.selectOption('#profile', profile);
    await this.page.fill('#run-id', id);
    await this.page.click('#start');
  }

  /** Types a line of input. */
  async say(line) {
    await this.page.fill('#input', line);
    await this.page.press('#input', 'Enter');
  }
}

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
  await ben.page.click('#runs button[data-id="counts-a"]');
  await ben.is({ processId: 'counts-a', status: 'running' });
  await ben.prints('\nline');
  await ben.page.click('#stop');
  for (const tab of [ann, ben]) {
    await tab.is({ status: 'killed', signal: 'SIGTERM' });
    await tab.shows('#status', /^Killed by SIGTERM after /);
  }
  const { missed, bytes } = await ann.state();
  const text = await ann.text();
  check(missed === 0 && text.startsWith('line 1\nline 2\n'), 'the first has seen all');
  // The second has come later, and has seen no less.
  await ben.is({ missed, bytes });
  same(await ben.text(), text, 'the second tab');
  await ben.picture('stopped');
});

step('what has ended is there for who comes after', async (browser) => {
  const tab = await Tab.open(browser, 'lines-a');
  await tab.is({ status: 'exited', exitCode: 0, missed: 0 });
  const lines = (await tab.text()).split('\n').filter((line) => line.startsWith('line')).join('\n');
  same(lines, truth('lines'), 'output');
});

step('however often the connection is cut, nothing is missing or doubled', async (browser) => {
  const way = await Passage.to(SERVER);
  const [whole, cut] = [await Tab.open(browser), await Tab.open(browser, 'long-a', way.url)];
  // From now on connections are short, as many as it takes.
  way.bytes = () => (way.cuts < 8 ? 100_000 + Math.random() * 300_000 : Infinity);
  way.block();
  await cut.is({ connection: 'waiting' });
  await cut.picture('cut');
  way.open();
  await cut.page.evaluate(() => setInterval(() => wire.state === 'waiting' && wire.connect(), 30));
  await whole.start('long', 'long-a');
  await whole.is({ processId: 'long-a', status: 'exited', missed: 0, lines: 80_080 }, 30_000);
  await cut.is({ connection: 'live', status: 'exited', missed: 0, lines: 80_080 }, 30_000);
  check(way.cuts === 8, `only ${way.cuts} cuts`);
  const text = await whole.text();
  same(await cut.text(), text, 'the tab that was cut');
  same(text.split('\n').filter((line) => !line.startsWith('up to')).join('\n'), truth('long'), 'the one that was not');
  check((await cut.page.locator('#log .chunk .note').count()) === 0, 'no gap is told');
});

step('what the server no longer has is told', async (browser) => {
  const way = await Passage.to(SERVER);
  const tab = await Tab.open(browser, 'counts-b', way.url);
  await tab.start('counts', 'counts-b');
  await tab.prints('line 5\n');
  // As if the server had kept no more than the last messages.
  await tab.page.evaluate(() => {
    const { room, epoch, seq } = logs.get('counts-b');
    const gap = { room, epoch, from: seq + 1, to: seq + 3, reason: 'evicted' };
    logs.get('counts-b').next -= 1000;
    wire.receive(JSON.stringify({ event: 'gap', room, data: gap }));
    logs.get('counts-b').seq = seq;
  });
  await tab.shows('#log .chunk .note', /3 messages \(\d+ to \d+\) are missing: the server no longer keeps them, with 1,000 bytes of output/);
  check((await tab.state()).missed === 1000, 'it is counted');
  // A life of the room that the server does not know: it tells the whole of its own.
  await tab.page.evaluate(() => (logs.get('counts-b').epoch = 'another'));
  way.block();
  await tab.is({ connection: 'waiting' });
  way.open();
  await tab.is({ connection: 'live', missed: 0 });
  await tab.shows('#log .chunk .note', /tells this output anew/);
  check((await tab.text()).startsWith('line 1\nline 2\n'), 'from the beginning');
  await tab.page.click('#stop');
  await tab.is({ status: 'killed' });
});

step('input is taken, and ended', async (browser) => {
  const [ann, ben] = [await Tab.open(browser), await Tab.open(browser, 'ask-a')];
  await ann.start('ask', 'ask-a');
  await ann.prints('your name?');
  await ann.say('Ann');
  await ann.prints('hello Ann');
  check((await ann.page.inputValue('#input')) === '', 'what was sent is gone from the field');
  await ann.picture('input');
  await ben.prints('hello Ann');
  await ben.page.press('#input', 'Control+d');
  for (const tab of [ann, ben]) {
    await tab.is({ status: 'exited', exitCode: 0 });
    same(await tab.text(), 'your name?\nhello Ann\nno more', 'conversation');
    check(await tab.page.isHidden('#input'), 'what has ended reads nothing');
  }
  await ann.start('cat', 'cat-a');
  await ann.is({ processId: 'cat-a', status: 'running' });
  for (const line of ['one', '', 'drei €', '<b>']) await ann.say(line);
  await ann.prints('<b>');
  await ann.page.press('#input', 'ArrowUp');
  check((await ann.page.inputValue('#input')) === '<b>', 'the last line comes back');
  await ann.page.fill('#input', 'the rest');
  await ann.page.click('#end-input');
  await ann.is({ status: 'exited', exitCode: 0 });
  same(await ann.text(), 'one\n\ndrei €\n<b>\nthe rest', 'echo');
  await ann.start('fails', 'no-input');
  await ann.is({ processId: 'no-input', status: 'exited' });
  check(await ann.page.isHidden('#input'), 'this one reads none');
});

step('an interrupt is not a stop', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('traps', 'traps-a');
  await tab.prints('ready');
  await tab.page.click('#interrupt');
  await tab.is({ processId: 'traps-a', status: 'exited', exitCode: 130 });
  same(await tab.text(), 'ready\ninterrupted', 'text');
  await tab.start('counts', 'counts-d');
  await tab.prints('line 2\n');
  await tab.page.click('#interrupt');
  await tab.is({ processId: 'counts-d', status: 'killed', signal: 'SIGINT' });
});

step('styles are shown', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('styles', 'styles-a');
  await tab.is({ processId: 'styles-a', status: 'exited' });
  await tab.draws('#log .row span', 7);
  const looks = await tab.page.evaluate(() => Object.fromEntries([...document.querySelectorAll('#log .row span')].map((span) => {
    const { color, backgroundColor, fontWeight, fontStyle, textDecorationLine, opacity } = getComputedStyle(span);
    return [span.textContent, { color, backgroundColor, fontWeight, fontStyle, textDecorationLine, opacity }];
  })));
  const plain = await tab.page.evaluate(() => getComputedStyle(document.querySelector('#log')).color);
  check(looks.bold.fontWeight === '700' && looks.dim.fontWeight === '400' && looks.dim.opacity < 1, 'bold and dim');
  check(looks.italic.fontStyle === 'italic' && looks.under.textDecorationLine === 'underline', 'italic and underline');
  check(looks.inverse.backgroundColor === plain && looks.inverse.color !== plain, 'inverse');
  check(looks.true.color === 'rgb(1, 2, 3)' && looks.colons.backgroundColor === 'rgb(4, 5, 6)', 'true colour');
});

step('the cursor moves in its line, and bytes become characters', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('moves', 'moves-a');
  await tab.is({ processId: 'moves-a', status: 'exited' });
  same(await tab.text(), 'aXc\nshort\nhere', 'text');
  await tab.start('bytes', 'bytes-a');
  await tab.is({ processId: 'bytes-a', status: 'exited', bytes: 15 });
  same(await tab.text(), 'café café \ufffd.', 'text');
});

step('a flood does not freeze the page', async (browser) => {
  const tab = await Tab.open(browser);
  // The longest time between two frames.
  await tab.page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    const frame = (now) => ((longest = Math.max(longest, now - last)), (last = now), requestAnimationFrame(frame));
    requestAnimationFrame(frame);
  });
  await tab.start('flood', 'flood-a');
  await tab.is({ processId: 'flood-a' });
  for (const pressed of ['false', 'true', 'false', 'true']) {
    const begun = Date.now();
    await tab.page.click('#wrap', { timeout: 3_000 });
    check((await tab.page.getAttribute('#wrap', 'aria-pressed')) === pressed, 'the click is obeyed');
    check(Date.now() - begun < 3_000, `a click took ${Date.now() - begun} ms`);
  }
  // Scrolling up lets go of the end, as soon as there is something above, and nothing but the reader takes it back.
  await tab.is(({ lines }) => lines > 1_000);
  await tab.page.hover('#log');
  await tab.page.mouse.wheel(0, -400);
  await tab.is({ following: false });
  await tab.is({ status: 'exited', missed: 0, bytes: 8_000_000 }, 30_000);
  await tab.is({ following: false });
  const longest = await tab.page.evaluate(() => longest);
  check(longest < 2_000, `the page stood still for ${longest} ms`);
  await tab.shows('#lines > .note', /earlier lines are no longer kept on this page/);
  await tab.page.click('#jump');
  await tab.is({ following: true });
  // Back at the end by the wheel, once all is drawn: before that, the end moves away.
  await tab.until('all is drawn', () => tab.page.evaluate(() => !view.scheduled));
  await tab.page.hover('#log');
  await tab.page.mouse.wheel(0, -100);
  await tab.is({ following: false });
  await tab.page.mouse.wheel(0, 400);
  await tab.is({ following: true });
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

step('in the dark', async (browser) => {
  const tab = await Tab.open(browser, 'colours-a');
  const ground = () => tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await tab.page.click('#theme');
  const dark = await ground();
  check(light === 'rgb(255, 255, 255)' && dark !== light, `light ${light}, dark ${dark}`);
  await tab.page.reload();
  check((await ground()) === dark, 'it is kept');
  await tab.page.click('#theme');
  check((await ground()) === light, 'and light again');
});

// The last one: nothing can start after it.
step('what could not start is told apart', async (browser) => {
  const tab = await Tab.open(browser);
  await tab.start('leaves', 'leaves-a');
  await tab.is({ processId: 'leaves-a', status: 'exited', exitCode: 0 });
  await tab.start('fails', 'missing-a');
  await tab.is({ processId: 'missing-a', status: 'failed', exitCode: -1, signal: null });
  await tab.shows('#status', /^Could not start: /);
  const told = { 'leaves-a': 'exit 0', 'fails-a': 'exit 3', 'dies-a': 'SIGKILL', 'missing-a': 'not started' };
  for (const [id, wanted] of Object.entries(told)) await tab.shows(`#runs button[data-id="${id}"] .code`, new RegExp(`^${wanted}$`));
  await tab.picture('ends');
});

await runSteps({ width: 1280, height: 800 });
