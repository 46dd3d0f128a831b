// The scenario in a web page, with nothing but `new WebSocket`. What it prints, drive.mjs reads.
import { run } from './scenario.mjs';

const HERE = `ws://${location.host}/ws`; // same-origin: drive.mjs passes it on to the server
const ELSEWHERE = new URLSearchParams(location.search).get('server'); // another port is another origin

/** A page is told no more than that it was not let in. */
const isTurnedAway = (url) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = () => reject(new Error(`${url} was let in`));
    socket.onclose = (event) => resolve(event.code);
  });

run({
  open: (query) => new WebSocket(HERE + query),
  async doorRefuses(same) {
    for (const url of [`${HERE}?token=bad`, `${HERE}?token=`, ELSEWHERE]) {
      same(await isTurnedAway(url), 1006, `the end of ${url}`);
    }
  },
});
