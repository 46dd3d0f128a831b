// Runs the scenario in headless Chromium: node drive.mjs ws://HOST:PORT/ws
// Serves the page and passes WebSocket upgrades on to the server byte for byte, so that both are one origin.
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';

import { withChromium } from './chromium.mjs';

const DEADLINE = 120_000; // milliseconds for the whole run
const SERVER = new URL(process.argv[2]);
const FILES = {
  '/': ['page.html', 'text/html'],
  '/scenario.js': ['scenario.js', 'text/javascript'],
  '/scenario.mjs': ['../scenario.mjs', 'text/javascript'],
};

const site = http.createServer(serve).on('upgrade', passOn);
await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
let outcome;
try {
  outcome = await withChromium(async (browser) => runScenario(await browser.newPage()));
} catch (error) {
  outcome = `FAILED the browser: ${error.message}\n0 passed, 1 failed`;
}
console.log(outcome);
process.exit(outcome.endsWith(' passed, 0 failed') ? 0 : 1);

/** Prints what the page prints, until its closing line. */
async function runScenario(page) {
  const ended = new Promise((resolve, reject) => {
    page.on('pageerror', reject);
    page.on('console', (message) => {
      if (/^\d+ passed, \d+ failed$/.test(message.text())) resolve(message.text());
      else if (message.type() === 'log') console.log(message.text());
    });
    setTimeout(() => reject(new Error(`no closing line within ${DEADLINE} ms`)), DEADLINE);
  });
  await page.goto(`http://127.0.0.1:${site.address().port}/?server=${encodeURIComponent(SERVER)}`);
  return ended;
}

async function serve(request, response) {
  const [file, type] = FILES[new URL(request.url, 'http://page').pathname] ?? [];
  if (!file) return response.writeHead(404).end();
  response.setHeader('content-type', `${type}; charset=utf-8`);
  response.end(await readFile(new URL(file, import.meta.url)));
}

function passOn(request, client, head) {
  const upstream = net.connect(SERVER.port, SERVER.hostname).setNoDelay();
  const headers = request.rawHeaders.map((text, n) => (n % 2 ? `${text}\r\n` : `${text}: `)).join('');
  upstream.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers}\r\n`);
  upstream.write(head);
  client.pipe(upstream).pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
}
