// The board's page in headless Chromium: node board.mjs http://HOST:PORT/ [FOLDER for screenshots]
// Pages reach the server through a passage of ours, so that a connection can be cut, or held up.
import { isDeepStrictEqual } from 'node:util';

import { Passage, Tab as Page, check, runSteps, step, until } from './steps.mjs';

const SERVER = process.argv[2];
Page.pictures = process.argv[3];

/** One page at a board. */
class Tab extends Page {
  static async open(browser, board, name, url = SERVER) {
    const named = (page) => page.addInitScript((name) => localStorage.setItem('eventwire-board-name', name), name);
    const tab = await Tab.load(browser, `${url}#${board}`, named);
    await tab.is({ ready: true });
    return tab;
  }

  state() {
    return this.page.evaluate(() => window.board.state);
  }

  note(id) {
    return this.page.locator(`.note[data-note="${id}"]`);
  }

  submit(note, change) {
    return this.page.evaluate(([note, change]) => window.board.submit(note, change), [note, change]);
  }

  /** What is drawn: of each note its place, colour and text. */
  drawn() {
    return this.page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.note')].map((el) =>
      [el.dataset.note, [el.style.transform, el.dataset.colour, el.querySelector('p').textContent]])));
  }

  picture(name) {
    return super.picture(`board-${name}`);
  }

  /** Waits until it has gone on where it was, so many times in all. It comes back now, and not after the backoff. */
  back(resumed) {
    return this.until(`it is back, ${resumed} times`, async () => {
      const state = await this.state();
      if (state.ready && state.resumed === resumed) return true;
      await this.page.locator('#retry').evaluate((button) => button.checkVisibility() && button.click());
      return state;
    });
  }
}

/** Waits until all pages have the same board, with nothing pending, and draw it. */
async function converge(...tabs) {
  await until('all are the same', async () => {
    const states = await Promise.all(tabs.map((tab) => tab.state()));
    const same = states.every((state) => state.ready && !state.pending && state.seq === states[0].seq);
    return same || states.map(({ ready, pending, seq }) => ({ ready, pending, seq }));
  });
  const states = await Promise.all(tabs.map((tab) => tab.state()));
  for (const state of states) {
    check(isDeepStrictEqual(state.confirmed, states[0].confirmed), `confirmed: ${JSON.stringify(states.map(({ confirmed }) => confirmed))}`);
    check(isDeepStrictEqual(state.shown, state.confirmed), 'what is shown is what is confirmed');
    check(!state.doubled && !state.missed, `an operation was doubled or missed: ${JSON.stringify(state)}`);
  }
  for (const tab of tabs) {
    const wanted = Object.fromEntries(Object.entries(states[0].confirmed.notes).map(([id, { x, y, colour, text }]) =>
      [id, [`translate(${x}px, ${y}px)`, colour, text]]));
    await until('it is drawn', async () => {
      const drawn = await tab.drawn();
      return isDeepStrictEqual(drawn, wanted) || { drawn, wanted };
    });
  }
  return states[0];
}

/** Edits of all kinds upon a few notes that others edit too, a little apart. */
const hustle = (tab, who, times) => tab.page.evaluate(async ([who, times]) => {
  const colours = ['yellow', 'orange', 'pink', 'violet', 'blue', 'green'];
  const any = (list) => list[Math.floor(Math.random() * list.length)];
  for (let n = 0; n < times; n++) {
    const notes = Object.keys(window.board.state.shown.notes);
    const kind = notes.length < 4 ? 0 : n % 7;
    const at = { x: Math.floor(Math.random() * 1000), y: Math.floor(Math.random() * 600) };
    if (kind === 0) window.board.submit(`${who}-${n}`, { add: { ...at, colour: any(colours), text: `${who} ${n}` } });
    else if (kind === 6) window.board.submit(any(notes), 'remove');
    else if (kind % 2) window.board.submit(any(notes), { set: at });
    else window.board.submit(any(notes), { set: { text: `${who} says ${n} <b>`, colour: any(colours) } });
    // Nothing is waited for: it is how far they are apart.
    if (n % 3 === 0) await new Promise((later) => setTimeout(later, 4));
  }
}, [who, times]);

step('by hand: add, write, colour, move, remove, undo', async (browser) => {
  const [ann, ben] = [await Tab.open(browser, 'hands', 'Ann Ode'), await Tab.open(browser, 'hands', 'Ben')];
  await ann.is({ people: ['Ann Ode', 'Ben'] });
  await ann.shows('#keeps', /forgotten/);
  await ann.shows('#empty', /Nothing on this board yet/);
  await ann.picture('empty');
  // With the mouse.
  await ann.page.bringToFront();
  await ann.page.mouse.dblclick(500, 300);
  await ann.page.keyboard.type('Hello <i>Ben</i>');
  // It is seen while it is written.
  await until('a draft is seen', async () => (await ben.page.locator('.note p').allTextContents()).includes('Hello <i>Ben</i>'));
  await ann.page.keyboard.press('Escape');
  let state = await converge(ann, ben);
  const [id] = Object.keys(state.confirmed.notes);
  check(state.confirmed.notes[id].text === 'Hello <i>Ben</i>', JSON.stringify(state.confirmed));
  const before = state.confirmed.notes[id], seq = state.seq;
  await ann.page.mouse.move(500, 330);
  await ann.page.mouse.down();
  await ann.page.mouse.move(560, 360);
  await ann.page.mouse.move(700, 410, { steps: 8 });
  await until('a drag is seen', async () => {
    const { glimpses, confirmed } = await ben.state();
    const [[transform]] = Object.values(await ben.drawn());
    return glimpses === 1 && transform === `translate(${before.x + 200}px, ${before.y + 80}px)` && confirmed.notes[id].x === before.x || transform;
  });
  await until('and by whom', async () => (await ben.page.locator('.holder').textContent()) === 'Ann Ode' && (await ben.page.locator('.cursor span').textContent()) === 'Ann Ode');
  await ann.page.mouse.up();
  state = await converge(ann, ben);
  check(state.seq === seq + 1 && state.confirmed.notes[id].x === before.x + 200, 'a drag is one operation');
  // With the keyboard.
  await ben.page.bringToFront();
  await ben.note(id).focus();
  await ben.page.keyboard.press('ArrowLeft');
  await ben.page.keyboard.press('Shift+ArrowDown');
  await ben.page.keyboard.press('5');
  await ben.page.keyboard.press('Enter');
  await ben.page.keyboard.type(' & all');
  await ben.page.keyboard.press('Control+Enter');
  await until('the move is an operation', async () => (await ben.state()).confirmed.notes[id].x === before.x + 188);
  state = await converge(ann, ben);
  const { x, y, colour, text } = state.confirmed.notes[id];
  check(isDeepStrictEqual({ x, y, colour, text }, { x: before.x + 188, y: before.y + 152, colour: 'blue', text: 'Hello <i>Ben</i> & all' }), JSON.stringify(state.confirmed));
  await ben.page.keyboard.press('n');
  await ben.page.keyboard.type('A second one');
  await ben.page.keyboard.press('Escape');
  await ben.page.keyboard.press('Delete');
  await until('it is removed', async () => (await ben.page.locator('.note').count()) === 1);
  await ben.page.click('.toast button');
  await until('it is there again', async () => (await ann.page.locator('.note').count()) === 2);
  await ann.page.fill('#me', 'Anna');
  await ann.page.keyboard.press('Enter');
  await ben.is(({ people }) => people.includes('Anna'));
  await ann.page.close();
  await ben.is({ people: ['Ben'] });
  await converge(ben);
});

step('two that edit the same at once converge, and so does one that comes late', async (browser) => {
  const [ann, ben] = [await Tab.open(browser, 'many', 'Ann'), await Tab.open(browser, 'many', 'Ben')];
  const other = await Tab.open(browser, 'other', 'Eve');
  await Promise.all([hustle(ann, 'ann', 150), hustle(ben, 'ben', 150)]);
  const state = await converge(ann, ben);
  check(state.seq > 128 && Object.keys(state.confirmed.notes).length > 3, `${state.seq} operations`);
  check(!state.gaps, 'whom the ring overtook got the snapshot');
  const late = await Tab.open(browser, 'many', 'Late');
  const { snapshots, gaps } = await converge(late, ann, ben);
  check(snapshots === 1 && !gaps, 'the late one began with the snapshot');
  check((await other.state()).seq === 0, 'another board has none of it');
  // From here on it goes on as the others.
  await Promise.all([hustle(late, 'late', 60), hustle(ann, 'more', 60)]);
  await converge(late, ann, ben);
});

step('one that lost its connection goes on, with what was done meanwhile on both sides', async (browser) => {
  const passage = await Passage.to(SERVER);
  const ann = await Tab.open(browser, 'cut', 'Ann'), ben = await Tab.open(browser, 'cut', 'Ben', passage.url);
  await hustle(ann, 'ann', 30);
  await converge(ann, ben);
  // Lost from inside. It comes back by itself.
  passage.blocked = true;
  await ben.page.evaluate(() => window.board.cut());
  await ben.submit('inside', { add: { x: 10, y: 20, colour: 'pink', text: 'written without a connection' } });
  await ben.shows('#count', /1 change not sent yet/);
  await ben.shows('#connection', /^Reconnectingin \d+ s/);
  passage.open();
  check('inside' in (await converge(ann, ben)).confirmed.notes, 'what was written is there');
  // What was done and not answered is sent again, and not done again.
  passage.deaf = true;
  await Promise.all([hustle(ann, 'ann0', 24), hustle(ben, 'ben0', 24)]);
  await ben.submit('last', { add: { x: 50, y: 60, colour: 'blue', text: 'the last of them' } });
  await ann.is(({ confirmed }) => 'last' in confirmed.notes);
  const { seq } = await converge(ann);
  check((await ben.state()).pending === 25, 'none of it is answered');
  passage.cut();
  await ben.back(2);
  check((await converge(ann, ben)).seq === seq, 'all of it was done once');
  // Cut while both write: some of it has come to the server, some was answered, and some is written without a connection.
  for (let n = 1; n <= 2; n++) {
    const busy = hustle(ann, `ann${n}`, 24);
    await hustle(ben, `ben${n}`, 12);
    passage.cut();
    await Promise.all([busy, hustle(ben, `more${n}`, 12)]);
    await ben.back(2 + n);
    await converge(ann, ben);
  }
  let { resumed, snapshots, gaps } = await ben.state();
  check(resumed === 4 && !snapshots && !gaps, `it resumed: ${JSON.stringify({ resumed, snapshots, gaps })}`);
  // For longer than the ring holds: the board in place of a gap.
  passage.block();
  await ben.is({ connection: 'waiting' });
  await ben.submit('away', { add: { x: 30, y: 40, colour: 'green', text: 'and another' } });
  await ben.picture('cut');
  await hustle(ann, 'long', 200);
  await converge(ann);
  passage.open();
  await ben.back(5);
  const state = await converge(ben, ann);
  ({ resumed, snapshots, gaps } = state);
  check(resumed === 5 && snapshots === 1 && !gaps, `it got the snapshot: ${JSON.stringify({ resumed, snapshots, gaps })}`);
  check(state.confirmed.notes.away?.text === 'and another', 'what was written meanwhile is there');
});

step('what means nothing harms nothing', async (browser) => {
  const ann = await Tab.open(browser, 'noise', 'Ann');
  const refused = await ann.page.evaluate(async () => {
    for (const text of ['', '{', 'null', '7', '[]', '{}', '{"event":"error"}', '{"event":"another","data":1}', '{"event":"ack","id":-1}']) wire.receive(text);
    const asked = wire.request('people').catch(({ message, code }) => [message, code ?? 'no code']);
    wire.receive(JSON.stringify({ event: 'error', id: wire.lastId }));
    return asked;
  });
  check(isDeepStrictEqual(refused, ['refused', 'no code']), JSON.stringify(refused));
  await ann.submit('a', { add: { x: 10, y: 20, colour: 'pink', text: 'as ever' } });
  check('a' in (await converge(ann)).confirmed.notes, 'it goes on');
});

step('a connection that says nothing is given up, and a farewell is obeyed', async (browser) => {
  const passage = await Passage.to(SERVER);
  const ann = await Tab.open(browser, 'silence', 'Ann', passage.url);
  const wire = (look) => ann.page.evaluate(look);
  // As if nothing had come for long: it asks, and is answered.
  await wire(() => (wire.heardAt = Date.now() - wire.pingInterval - 1));
  await ann.until('it is answered', () => wire(() => Date.now() - wire.heardAt < 5_000));
  check((await ann.state()).resumed === 0, 'on the same connection');
  // As if there had been no answer for long, to a request neither.
  passage.deaf = true;
  await wire(() => void wire.request('people').catch(({ message }) => (window.refused = message)));
  await wire(() => (wire.heardAt = Date.now() - wire.pingInterval - 1));
  await ann.until('it asks', () => wire(() => wire.pingedAt > 0));
  await wire(() => (wire.pingedAt -= 10_001));
  await ann.is(({ connection }) => connection !== 'live');
  await ann.until('the request is refused', () => wire(() => window.refused === 'The connection was lost.' || String(window.refused)));
  passage.cut();
  await ann.back(1);
  // A server that wants it back later, and one that does not.
  await wire(() => (wire.receive('{"event":"closing","data":{"reconnect":true,"after":60000}}'), wire.ws.close()));
  await ann.shows('#connection', /^Reconnectingin 6\d sRetry$/);
  await ann.back(2);
  await wire(() => (wire.receive('{"event":"closing","data":{"reconnect":false}}'), wire.ws.close()));
  await ann.shows('#connection', /^ClosedRetry$/);
  await ann.back(3);
});

step('it looks like a board', async (browser) => {
  const ann = await Tab.open(browser, 'retro', 'Ann Ode');
  const texts = [
    [60, 60, 'yellow', 'What went well\n\n· the demo\n· nobody was paged'], [270, 90, 'green', 'Ship the beta on Thursday?'], [480, 50, 'pink', 'Who writes the release notes?'],
    [110, 270, 'blue', 'Late joiners get the board as a snapshot, then the latest operations'], [330, 300, 'orange', 'Ask Priya about the numbers'],
    [560, 260, 'violet', 'Lunch: ramen 🍜'], [760, 90, 'yellow', 'Reconnect test: pull the plug mid-drag and see that nothing is lost, nothing is doubled, and that the order stays the same for everyone who watches.'],
    [820, 330, 'green', 'Straße → Umlaute ok'],
  ];
  for (const [n, [x, y, colour, text]] of texts.entries()) await ann.submit(`t${n}`, { add: { x, y, colour, text } });
  const ben = await Tab.open(browser, 'retro', 'Ben');
  await Tab.open(browser, 'retro', 'Chidi Okafor');
  await converge(ann, ben);
  const { width, height } = ben.page.viewportSize();
  await ben.page.bringToFront();
  await ben.page.mouse.move(400, 420);
  await ben.page.mouse.down();
  await ben.page.mouse.move(430, 470, { steps: 5 });
  await ann.shows('.holder', /^Ben$/);
  await ann.shows('.cursor span', /^Ben$/);
  await ann.note('t5').focus();
  await ann.page.emulateMedia({ colorScheme: 'light' });
  await ann.picture('light');
  await ann.page.emulateMedia({ colorScheme: 'dark' });
  await ann.picture('dark');
  await ben.page.mouse.up();
  await ann.page.setViewportSize({ width: 390, height: 780 });
  const overflow = await ann.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(overflow <= 0, `the page is ${overflow} px too wide`);
  await ann.picture('small');
  await ann.page.setViewportSize({ width, height });
});

await runSteps({ width: 1280, height: 800 });
