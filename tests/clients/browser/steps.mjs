// What the scripts that drive a page have in common: steps that are told one by one, waiting for a condition with a deadline,
// tabs whose errors are the step's, and a passage to the server that can be cut.
import net from 'node:net';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';

import { withChromium } from './chromium.mjs';

export const DEADLINE = 15_000; // milliseconds for any one wait, unless it says so

const steps = [];

export const step = (name, run) => steps.push([name, run]);

/** Runs all steps in one browser, up to the first that fails, and ends the program. */
export async function runSteps(viewport) {
  let passed = 0;
  try {
    await withChromium(async (browser) => {
      for (const [name, run] of steps) {
        const begun = Date.now();
        try {
          await run(browser);
          // Also where nothing was waited for since.
          for (const tab of Tab.opened.splice(0)) tab.complain();
        } catch (error) {
          throw new Error(`${name}: ${error.message}`);
        }
        for (const page of browser.pages().slice(1)) await page.close();
        console.log(`ok ${name} (${Date.now() - begun} ms)`);
        passed++;
      }
    }, { viewport });
  } catch (error) {
    console.log(`FAILED ${error.message}`);
  }
  console.log(`${passed} passed, ${steps.length - passed} failed`);
  process.exit(passed === steps.length ? 0 : 1);
}

export function check(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

/** Waits until the condition is `true`. What else it is, the failure tells. */
export async function until(what, condition, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  for (let last; ; ) {
    // A page that stands still answers nothing; a condition that is looked at late is not to blame for it.
    if ((last = await within(Math.max(2_000, end - Date.now()), condition())) === true) return;
    check(Date.now() < end, `${what}: ${JSON.stringify(last)}`);
    await new Promise((later) => setTimeout(later, 20));
  }
}

async function within(ms, answer) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms, 'no answer')));
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** A page. Each script has what it can do there. */
export class Tab {
  static opened = [];
  static pictures; // the folder, if any are wanted

  /** `prepare` is done before the page is loaded. */
  static async load(browser, url, prepare = () => {}) {
    const tab = new this();
    Tab.opened.push(tab);
    tab.page = await browser.newPage();
    tab.page.setDefaultTimeout(DEADLINE);
    tab.page.on('pageerror', (error) => (tab.error ??= error));
    tab.page.on('dialog', (dialog) => ((tab.error ??= new Error(`a dialog: ${dialog.message()}`)), dialog.dismiss()));
    await prepare(tab.page);
    await tab.page.goto(url);
    return tab;
  }

  complain() {
    if (this.error) throw this.error;
  }

  async until(what, condition, deadline) {
    await until(what, () => (this.complain(), condition()), deadline);
  }

  /** Waits until the page's state is so: has these fields, or is as a function says. */
  async is(wanted, deadline) {
    const holds = typeof wanted === 'function' ? wanted : (state) => Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(state[key], value));
    const what = typeof wanted === 'function' ? wanted : JSON.stringify(wanted);
    await this.until(`wanted ${what}, got`, async () => {
      const state = await this.state();
      return holds(state) || state;
    }, deadline);
  }

  /** Waits until some element like this is seen, and its text is so. */
  async shows(selector, pattern) {
    const texts = (selector) => [...document.querySelectorAll(selector)].filter((el) => el.checkVisibility()).map((el) => el.textContent);
    await this.until(`${selector} wants ${pattern}, got`, async () => {
      const shown = await this.page.evaluate(texts, selector);
      return shown.some((text) => pattern.test(text)) || shown;
    });
  }

  async picture(name) {
    if (!Tab.pictures) return;
    await this.page.bringToFront();
    // What has come is drawn by then, and transitions are at their end.
    await this.page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    await this.page.screenshot({ path: join(Tab.pictures, `${name}.png`), animations: 'disabled' });
  }
}

/** A way to a server that can be cut, and blocked. A tab that goes another way is not touched. */
export class Passage {
  through = new Set();
  cuts = 0;               // by `bytes`
  bytes = () => Infinity; // after so many from the server a new connection is cut, in the middle of a frame as likely as not
  blocked = false;        // nobody comes through
  deaf = false;           // what the server says is lost: until a cut, after which nobody is owed it

  static async to(server) {
    const passage = new Passage();
    const { port, hostname } = new URL(server);
    passage.server = net.createServer((client) => {
      if (passage.blocked) return client.destroy();
      const upstream = net.connect(port, hostname).setNoDelay();
      client.setNoDelay().pipe(upstream).pipe(passage.answers(client)).pipe(client);
      for (const end of [client, upstream]) {
        passage.through.add(end);
        end.on('error', () => {}).on('close', () => (client.destroy(), upstream.destroy(), passage.through.delete(end)));
      }
    });
    await new Promise((listening) => passage.server.listen(0, '127.0.0.1', listening));
    passage.url = `http://127.0.0.1:${passage.server.address().port}/`;
    return passage;
  }

  answers(client) {
    let left = this.bytes();
    return new Transform({
      transform: (chunk, _encoding, done) => {
        if (this.deaf) return done();
        left -= chunk.length;
        if (left > 0) return done(null, chunk);
        this.cuts++;
        client.write(chunk.subarray(0, chunk.length + left), () => client.destroy());
      },
    });
  }

  cut() {
    for (const end of [...this.through]) end.destroy();
    this.deaf = false;
  }

  /** Cuts, and lets nobody come back before it is opened. */
  block() {
    this.blocked = true;
    this.cut();
  }

  open() {
    this.blocked = false;
  }
}
