// The scenario, for the page and for Node.js: both have the same `WebSocket`, and each says how it gets to the server.
const DEADLINE = 5_000; // milliseconds for any one wait
const STEP_DEADLINE = 30_000;
const steps = [];
const opened = [];
let host;

/** One connection. Frames that nobody waits for yet lie in the inbox, in the order of arrival. */
class Client {
  inbox = [];
  waiters = [];
  lastId = 0;

  constructor(query = '') {
    this.socket = host.open(query);
    this.socket.onmessage = (message) => this.delivers(message.data);
    this.closed = new Promise((resolve) => (this.socket.onclose = (event) => resolve(event.code)));
    this.closed.then((code) => {
      this.code = code;
      for (const { reject } of this.waiters) reject(new Error(`the connection closed with ${code}`));
    });
  }

  delivers(raw) {
    const frame = { ...JSON.parse(raw), raw };
    const place = this.waiters.findIndex(({ wanted }) => wanted(frame));
    if (place < 0) this.inbox.push(frame);
    else this.waiters.splice(place, 1)[0].resolve(frame);
  }

  takes(what, wanted) {
    const place = this.inbox.findIndex(wanted);
    if (place >= 0) return this.inbox.splice(place, 1)[0];
    check(this.code === undefined, `the connection closed with ${this.code} before ${what}`);
    const arrival = new Promise((resolve, reject) => this.waiters.push({ wanted, resolve, reject }));
    const unread = () => JSON.stringify(this.inbox.slice(0, 5).map((frame) => frame.raw.slice(0, 100)));
    return within(arrival, () => `no ${what}, but unread ${unread()},`);
  }

  hears(event) {
    return this.takes(event, (frame) => frame.event === event);
  }

  hearsNext() {
    return this.takes('next frame', () => true);
  }

  async hasHeardNo(event) {
    await this.requests('echo_ack'); // whatever was sent before has arrived then
    check(!this.inbox.some((frame) => frame.event === event), `${event} came, but not for this socket`);
  }

  says(text) {
    this.socket.send(text);
  }

  emits(event, data, fields) {
    this.says(JSON.stringify({ event, data, ...fields }));
  }

  /** Sends a request, and tells its id. */
  begins(event, data) {
    this.emits(event, data, { id: ++this.lastId });
    return this.lastId;
  }

  async settles(kind, id) {
    const answers = (frame) => ['ack', 'error'].includes(frame.event) && frame.id === id;
    const frame = await this.takes(`answer to the request ${JSON.stringify(id)}`, answers);
    check(frame.event === kind, `the request ${JSON.stringify(id)} wants ${kind}, got ${frame.raw}`);
    return frame.data;
  }

  requests(event, data) {
    return this.settles('ack', this.begins(event, data));
  }

  async isRefused(code, event, data) {
    const error = await this.settles('error', this.begins(event, data));
    same(error.code, code, `the code that refuses ${event}`);
    check(typeof error.message === 'string', `an error has a message: ${JSON.stringify(error)}`);
    return error;
  }

  isClosed() {
    return within(this.closed, () => 'no end of the connection');
  }

  async leaves() {
    if (this.code !== undefined) return;
    this.socket.close(1000);
    same(await this.isClosed(), 1000, "the answer to a client's close");
  }
}

async function connect(query) {
  const client = new Client(query);
  opened.push(client);
  client.hello = await client.hearsNext();
  same(client.hello.event, 'connected', 'the first frame');
  client.id = client.hello.data.id;
  return client;
}

function within(promise, otherwise, ms = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${otherwise()} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function check(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

function same(got, wanted, what) {
  const [had, want] = [got, wanted].map(canonical);
  let start = 0;
  while (start < want.length && had?.[start] === want[start]) start += 1;
  const excerpt = (text) => text?.slice(Math.max(0, start - 80)).slice(0, 200);
  check(had === want, `${what}: wanted ${excerpt(want)}, got ${excerpt(had)}`);
}

/** JSON with sorted keys, so that their order does not matter. */
function canonical(value) {
  const sorted = (_, v) => (v?.constructor === Object ? Object.fromEntries(Object.entries(v).sort()) : v);
  return JSON.stringify(value, sorted);
}

function step(name, run) {
  steps.push([name, run]);
}

step('connected is the first frame', async () => {
  const { data } = (await connect()).hello;
  check(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(data.id), `id is a uuid: ${data.id}`);
  same([data.protocol, data.session, data.recovered], [1, null, false], 'protocol, session, recovered');
  check(Number.isInteger(data.pingInterval) && data.pingInterval > 0, `pingInterval: ${data.pingInterval}`);
  check(Number.isInteger(data.maxMessage) && data.maxMessage > 0, `maxMessage: ${data.maxMessage}`);
});

step('echo keeps text, escapes, digits and null', async () => {
  const ann = await connect();
  const text = 'tab\t quote" backslash\\ nul\0 é 漢字 😀 \u2028 </script>';
  const escaped = JSON.stringify(text).replace(/[^ -~]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  ann.says(`{"event":"echo","data":${escaped}}`);
  same((await ann.hears('echo')).data, text, 'escaped text');
  ann.emits('echo', { text, ключ: [true, null] });
  same((await ann.hears('echo')).data, { text, ключ: [true, null] }, 'text as UTF-8');
  ann.says(String.raw`{"event":"\u0065ch\u006f","data":"escaped name"}`);
  same((await ann.hears('echo')).data, 'escaped name', 'an event whose name is escaped');
  const digits = '[12345678901234567890123456789,9007199254740993,-0.12345678901234567890,1.50e+3,1E400]';
  ann.says(`{"event":"echo","data":${digits}}`);
  const { raw } = await ann.hears('echo');
  check(raw.includes(digits), `every digit stays: wanted ${digits}, got ${raw}`);
  ann.emits('echo');
  same((await ann.hears('echo')).data, null, 'absent data');
});

step('echo_ack answers with the id it got', async () => {
  const ann = await connect();
  for (const id of [7, 0, 2 ** 53 - 1, '7', 'a-β', 'x'.repeat(64)]) {
    ann.emits('echo_ack', { for: id }, { id });
    same(await ann.settles('ack', id), { for: id }, `the ack of ${JSON.stringify(id)}`);
  }
  ann.emits('echo_ack', undefined, { id: 'absent' });
  same(await ann.settles('ack', 'absent'), null, 'the ack of absent data');
});

step('typed data, and the path to what is wrong', async () => {
  const ann = await connect();
  same(await ann.requests('typed', { n: 1, s: 'abc' }), { n: 2, s: 'cba' }, 'typed');
  const error = await ann.isRefused('invalid_payload', 'typed', { n: 'one', s: 'abc' });
  check(/\bn\b/.test(JSON.stringify(error.details)), `details name the path n: ${JSON.stringify(error)}`);
});

step('refused frames, and the connection goes on', async () => {
  const ann = await connect();
  for (const name of ['nobody-listens', '__proto__', 'имя']) await ann.isRefused('unknown_event', name, 1);
  ann.emits('имя', 1);
  let error = (await ann.hears('error')).data;
  same([error.code, error.event], ['unknown_event', 'имя'], 'without an id the event is named');
  await ann.isRefused('forbidden', 'connected', {});
  ann.emits('connected', {});
  error = (await ann.hears('error')).data;
  same([error.code, error.event], ['forbidden', 'connected'], 'a reserved event without an id');
  for (const text of ['[]', 'no json', '{"data":1}', '{"event":7}', '{"event":"echo","id":-1}']) {
    ann.says(text);
    same((await ann.hears('error')).data.code, 'invalid_envelope', text);
  }
  same(await ann.requests('echo_ack', 'still here'), 'still here', 'echo_ack afterwards');
});

step('rooms carry messages to their members', async () => {
  const [ann, ben] = [await connect(), await connect()];
  const room = `public:${ann.id}`;
  for (const client of [ann, ben]) same(await client.requests('subscribe', room), { room }, 'subscribe');
  const id = ann.begins('publish', { room, payload: { n: 1 } });
  same((await ann.hearsNext()).event, 'message', 'what a handler emits comes before its ack');
  same(await ann.settles('ack', id), 2, 'members reached');
  const message = await ben.hears('message');
  same(JSON.parse(message.raw), { event: 'message', data: { n: 1 }, room }, 'message');
  await ann.requests('except', { room, payload: 'others' });
  same((await ben.hears('message')).data, 'others', 'except');
  await ann.hasHeardNo('message');
  same(await ben.requests('unsubscribe', room), { room }, 'unsubscribe');
  same(await ann.requests('publish', { room, payload: 'alone' }), 1, 'members left');
  same((await ann.hears('message')).data, 'alone', 'message to the one left');
  await ben.hasHeardNo('message');
  await ben.requests('join', { room: 'hall' });
  same((await ben.requests('whoami')).rooms, ['hall'], 'rooms after a server-side join');
  await ben.requests('leave', { room: 'hall' });
  same((await ben.requests('whoami')).rooms, [], 'rooms after a server-side leave');
});

step('rules guard rooms', async () => {
  const [guest, ann] = [await connect(), await connect('?token=ann')];
  const [first, second] = await guest.requests('subscribe', ['public:y', 'secret:x']);
  same(first, { room: 'public:y' }, 'the allowed one of a list');
  same([second.room, second.error?.code], ['secret:x', 'forbidden'], 'the refused one of a list');
  await guest.isRefused('forbidden', 'subscribe', 'secret:x');
  await guest.isRefused('forbidden', 'subscribe', 'public:no spaces');
  await guest.isRefused('forbidden', 'subscribe', 'member:x');
  same(await ann.requests('subscribe', 'member:x'), { room: 'member:x' }, 'a member subscribes');
  same(await guest.requests('whoami'), { id: guest.id, rooms: ['public:y'], user: null }, 'the guest');
  same(await ann.requests('whoami'), { id: ann.id, rooms: ['member:x'], user: 'ann' }, 'the member');
});

step('events are handled in order', async () => {
  const ann = await connect();
  const counts = Array.from({ length: 200 }, (_, n) => n + 1);
  for (const id of counts) ann.emits('order', { sent: id }, { id });
  const acks = [];
  while (acks.length < 200) acks.push(await ann.hears('ack'));
  same(acks.map((ack) => [ack.id, ack.data]), counts.map((n) => [n, n]), 'id and count');
});

step('concurrent handlers do not queue', async () => {
  const ann = await connect();
  const start = performance.now();
  await Promise.all(Array.from({ length: 20 }, () => ann.requests('sleep_concurrent', { ms: 100 })));
  const took = performance.now() - start;
  check(took > 90 && took < 1500, `20 sleeps of 100 ms took ${took.toFixed()} ms`);
});

step('the server asks the client', async () => {
  const ann = await connect();
  let id = ann.begins('ask', { event: 'question', data: { n: 1 }, timeoutMs: 4000 });
  let question = await ann.hears('question');
  same(question.data, { n: 1 }, 'the question');
  ann.emits('ack', { n: 2 }, { id: question.id });
  same(await ann.settles('ack', id), { n: 2 }, 'the answer');
  id = ann.begins('ask', { event: 'question', timeoutMs: 4000 });
  question = await ann.hears('question');
  ann.emits('error', { code: 'shy', message: 'ask someone else' }, { id: question.id });
  const error = await ann.settles('error', id);
  same([error.code, error.message], ['shy', 'ask someone else'], 'an answer by error');
  await ann.isRefused('timeout', 'ask', { event: 'question', data: 3, timeoutMs: 200 });
});

step('failures and panics are answers', async () => {
  const ann = await connect();
  const error = await ann.isRefused('out_of_tea', 'fail', { code: 'out_of_tea', message: 'no tea' });
  same(error.message, 'no tea', 'message');
  await ann.isRefused('internal', 'panic');
  same(await ann.requests('echo_ack', 'still here'), 'still here', 'echo_ack afterwards');
});

step('a paced burst loses nothing', async () => {
  const [ann, ben] = [await connect(), await connect()];
  const room = `public:${ann.id}`;
  for (const client of [ann, ben]) await client.requests('subscribe', room);
  const id = ann.begins('burst', { room, lines: 3000, bytes: 200 });
  for (const client of [ann, ben]) {
    for (let n = 0; n < 3000; n++) {
      const line = `@@0000${n.toString(16).padStart(8, '0')}${'0'.repeat(16)}`.padEnd(200, 'x');
      same((await client.hears('message')).data, line, `line ${n}`);
    }
  }
  same(await ann.settles('ack', id), { lines: 3000 }, 'burst');
});

step('ping is answered', async () => {
  const ann = await connect();
  ann.emits('ping', { t: 12.5 });
  same((await ann.hears('pong')).data, { t: 12.5 }, 'pong');
  same(await ann.requests('ping', 'now'), 'now', 'the ack of a ping');
});

step('tell another socket, then be kicked', async () => {
  const [ann, ben] = [await connect(), await connect()];
  await ann.requests('tell', { id: ben.id, data: { from: 'ann' } });
  same((await ben.hears('told')).data, { from: 'ann' }, 'told');
  ann.emits('kick', { event: 'bye', data: 'out' });
  const [bye, closing] = [await ann.hearsNext(), await ann.hearsNext()];
  same([bye.event, bye.data], ['bye', 'out'], 'what was emitted before');
  same(closing.event, 'closing', 'the last event');
  const { code, reconnect, after } = closing.data;
  same([code, reconnect, after], ['disconnect', false, 0], 'closing');
  same(await ann.isClosed(), 1000, 'close code');
});

step('the door refuses bad tokens and other origins', async () => {
  await within(host.doorRefuses(same), () => 'no answer at the door');
});

step('a message too large closes with 1009', async () => {
  const ann = await connect();
  const sized = (length) => `{"event":"echo_ack","id":1,"data":"${'x'.repeat(length)}"}`;
  const fill = ann.hello.data.maxMessage - sized(0).length;
  ann.says(sized(fill));
  same((await ann.settles('ack', 1)).length, fill, 'the largest message');
  ann.says(sized(fill + 1));
  same(await ann.isClosed(), 1009, 'close code');
});

/**
 * Runs the scenario. `open(query)` makes a WebSocket to the server; `doorRefuses(same)` tries what must not get in.
 * Returns whether all went well.
 */
export async function run(on) {
  host = on;
  let passed = 0;
  let failure;
  for (const [name, take] of steps) {
    try {
      await within(take(), () => 'not done', STEP_DEADLINE);
      while (opened.length) await opened.pop().leaves();
    } catch (error) {
      failure = `FAILED ${name}: ${error.message}`;
      break;
    }
    console.log(`ok ${name}`);
    passed += 1;
  }
  if (failure) console.log(failure);
  console.log(`${passed} passed, ${failure ? 1 : 0} failed`);
  return !failure;
}
