// The bridge's page in headless Chromium: node bridge.mjs http://HOST:PORT/ quiet|busy|away [FOLDER for screenshots]
// tests/bridge.rs says what goes on meanwhile.
import { Passage, Tab as Page, check, runSteps, step } from './steps.mjs';

const [, , SERVER, STEPS] = process.argv;
Page.pictures = process.argv[4];

class Tab extends Page {
  static async open(browser, url = SERVER) {
    const tab = await Tab.load(browser, url);
    await tab.is({ connection: 'live' });
    return tab;
  }

  state() {
    return this.page.evaluate(() => window.bridge.state);
  }

  /** How high a chart's line is where it is highest, of 100. */
  peak(of) {
    const facts = (of) => (document.querySelector(`[data-of=${of}] .stroke`).getAttribute('d') ?? '').split(/[ML]/).slice(1).map((point) => 100 - Number(point.split(' ')[1]));
    return this.page.evaluate(facts, of).then((heights) => Math.max(0, ...heights));
  }
}

const quiet = () => {
  step('what there is not is said', async (browser) => {
    const tab = await Tab.open(browser);
    await tab.is(({ points }) => points > 0);
    await tab.shows('#health-text', /^Ready$/);
    await tab.shows('#no-rooms', /Nobody watches a subject/);
    await tab.shows('#no-viewers', /^Everyone keeps up\.$/);
    await tab.shows('.source .state', /^Connected$/);
    await tab.shows('.subjects span', /^orders\.\*$/);
    check((await tab.peak('fromNats')) < 5, 'nothing comes');
    check(await tab.page.isHidden('#reasons'), 'there is nothing to object');
    await tab.picture('quiet');
  });
};

const busy = () => {
  step('rates, rooms and slow viewers are shown as they are', async (browser) => {
    const tab = await Tab.open(browser);
    await tab.is(({ rates }) => rates?.fromNats > 10 && rates.messages > 10 && rates.bytes > 1000);
    await tab.is(({ rooms }) => rooms?.length === 5 && rooms[0].rate > 5);
    await tab.shows('#rooms td', /^stream\.orders$/);
    await tab.shows('#rooms td', /^stream\.gr%C3%B6%C3%9Fe$/);
    await tab.until('the charts have been drawn', async () => (await tab.peak('messages')) > 50 && (await tab.peak('bytes')) > 50);
    await tab.is(({ viewers }) => viewers?.[0].backlog.messages > 5);
    await tab.shows('#viewers td', /^127\.0\.0\.1:\d+$/);
    await tab.shows('.rate .now', /^[\d,.]+ KiB\/s$/);
    await tab.is(({ points }) => points >= 8);
    await tab.picture('busy');
    await tab.page.click('#theme');
    await tab.picture('busy-dark');
  });

  step('a page that comes later sees what was', async (browser) => {
    const [ann, ben] = [await Tab.open(browser), await Tab.open(browser)];
    await ann.is(({ points }) => points >= 8);
    await ben.is(({ points }) => points >= 8);
  });

  step('a value of the past is told where one points', async (browser) => {
    const tab = await Tab.open(browser);
    await tab.is(({ points }) => points >= 8);
    const box = await tab.page.locator('[data-of=messages] svg').boundingBox();
    await tab.page.mouse.move(box.x + box.width * (1 - 4 / (await tab.page.evaluate(() => charts[0].span - 1))), box.y + 20);
    await tab.shows('[data-of=messages] .peak', /^4 s ago$/);
    await tab.page.mouse.move(0, 0);
    await tab.shows('[data-of=messages] .peak', /^peak /);
  });

  step('after a lost connection it goes on where it was', async (browser) => {
    const way = await Passage.to(SERVER);
    const tab = await Tab.open(browser, way.url);
    await tab.is(({ points }) => points >= 8);
    way.block();
    await tab.is({ connection: 'waiting' });
    check(await tab.page.evaluate(() => document.body.classList.contains('stale')), 'it looks like the past');
    const { points } = await tab.state();
    way.open();
    // It may have come back by itself meanwhile.
    await tab.page.locator('#retry').evaluate((button) => button.checkVisibility() && button.click());
    await tab.is(({ connection, points: now }) => connection === 'live' && now > points);
    const seqs = await tab.page.evaluate(() => charts.every((chart) => chart.values.length === charts[0].values.length));
    check(seqs, 'all charts have as many');
  });

  step('on a small screen', async (browser) => {
    const tab = await Tab.open(browser);
    await tab.page.setViewportSize({ width: 390, height: 844 });
    await tab.is(({ rooms }) => rooms?.length === 5);
    const overflow = await tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(overflow <= 0, `the page is ${overflow} px too wide`);
    await tab.picture('small');
  });
};

const away = () => {
  step('that NATS is away is told', async (browser) => {
    const tab = await Tab.open(browser);
    await tab.is(({ sources }) => sources?.[0].state === 'away');
    await tab.shows('#health-text', /^Not ready$/);
    await tab.shows('#reasons', /^nats: `nats` is disconnected for \d+ s$/);
    await tab.shows('.source .state', /^Away for \d+ s$/);
    await tab.picture('away');
  });
};

({ quiet, busy, away })[STEPS]();
await runSteps({ width: 1280, height: 860 });
