// The scenario against the conformance server: node scenario.mjs ws://HOST:PORT/ws
import WebSocket from 'ws';

import { run } from '../scenario.mjs';

const SERVER = process.argv[2];

/** The HTTP status, and whether there is a JSON body. */
const isTurnedAway = (query, origin) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(SERVER + query, { origin });
    socket.on('error', reject);
    socket.on('open', () => reject(new Error(`${query} ${origin} was let in`)));
    socket.on('unexpected-response', async (_, response) => {
      const body = (await response.toArray()).join('');
      resolve([response.statusCode, JSON.parse(body) instanceof Object]);
    });
  });

const allWell = await run({
  open(query) {
    const socket = new WebSocket(SERVER + query);
    socket.on('error', () => {}); // told by the close that follows
    return socket;
  },
  async doorRefuses(same) {
    for (const [status, query, origin] of [[401, '?token=bad'], [401, '?token='], [403, '', 'http://elsewhere.example']]) {
      same(await isTurnedAway(query, origin), [status, true], `HTTP status and JSON body for ${query} ${origin}`);
    }
  },
});
process.exit(allWell ? 0 : 1);
