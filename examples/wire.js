// What the pages of the board and of the runner have in common. Each server puts it into its page, in the place of a mark, as a
// page needs nothing but itself: its Content-Security-Policy lets it load no script.

const $ = id => document.getElementById(id);
const quietly = () => {};

// Writing only what differs keeps live regions silent and selections whole.
const put = (el, text) => { if (el.textContent !== text) el.textContent = text; };

function element(name, className = "", text = "") {
  const el = document.createElement(name);
  el.className = className;
  el.textContent = text;
  return el;
}

// One JSON envelope a text frame. This class knows sockets, requests and reconnecting, and nothing of what they are for.
class Wire {
  handlers = new Map();
  waiting = new Map();
  lastId = 0;
  attempt = 0;
  state = "connecting"; // connecting · live · waiting · closed
  ws = null;            // while connecting or live
  onstate = quietly;    // told each new state, and nothing while time passes in `waiting`

  constructor(path) {
    this.url = new URL(path, location.href).href.replace(/^http/, "ws");
    setInterval(() => this.tick(), 250);
    addEventListener("online", () => this.state === "waiting" && this.connect());
  }

  on(event, handler) { this.handlers.set(event, handler); }

  connect() {
    const ws = this.ws = new WebSocket(this.url);
    this.farewell = null;
    this.pingedAt = 0;
    this.heardAt = this.since = Date.now();
    // What a socket that was given up still tells is not for the one after it.
    ws.onmessage = message => ws === this.ws && this.receive(message.data);
    ws.onclose = () => ws === this.ws && this.lost();
    this.become("connecting");
  }

  send(envelope) { this.ws.send(JSON.stringify(envelope)); }

  // Resolves to the ack's data. Rejects with the error's `code`, or without one where the connection is to blame.
  request(event, data) {
    if (this.state !== "live") return Promise.reject(new Error("Not connected."));
    const id = ++this.lastId;
    this.send({ event, id, data });
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  receive(text) {
    this.heardAt = Date.now();
    this.pingedAt = 0;
    let envelope;
    // What is no envelope is for nobody, and no reason to stop.
    try { envelope = JSON.parse(text); } catch { return; }
    const { event, id, data } = envelope ?? {};
    if (event === "connected") {
      this.id = data?.id;
      this.pingInterval = data?.pingInterval || 25_000;
      this.since = Date.now();
      this.become("live");
    } else if (event === "ping") {
      this.send({ event: "pong", data });
    } else if (event === "closing") {
      this.farewell = data;
    } else if ((event === "ack" || event === "error") && this.waiting.has(id)) {
      const request = this.waiting.get(id);
      this.waiting.delete(id);
      if (event === "ack") request.resolve(data);
      else request.reject(Object.assign(new Error(data?.message || data?.code || "refused"), { code: data?.code }));
    } else {
      this.handlers.get(event)?.(data, envelope);
    }
  }

  lost() {
    const { farewell, state, since } = this;
    // A server that accepts and then closes at once must not be hammered: only a connection that lasted resets the backoff.
    if (state === "live" && Date.now() - since > 5_000) this.attempt = 0;
    this.ws.onclose = this.ws.onmessage = null;
    this.ws.close();
    this.ws = null;
    for (const { reject } of this.waiting.values()) reject(new Error("The connection was lost."));
    this.waiting.clear();
    if (farewell?.reconnect === false) return this.become("closed");
    // Full jitter: clients that lost one server together come back apart.
    const jitter = Math.random() * Math.min(10_000, 500 * 2 ** this.attempt++);
    this.retryAt = Date.now() + (farewell?.after || 0) + jitter;
    this.become("waiting");
  }

  // A page cannot see WebSocket pings, and a connection that a sleeping laptop left behind never closes by itself.
  tick() {
    const now = Date.now();
    if (this.state === "waiting") now >= this.retryAt ? this.connect() : this.onstate();
    else if (this.state === "connecting" && this.ws && now - this.since > 10_000) this.lost();
    else if (this.state === "live" && this.pingedAt) now - this.pingedAt > 10_000 && this.lost();
    else if (this.state === "live" && now - this.heardAt > this.pingInterval) {
      this.pingedAt = now;
      this.send({ event: "ping" });
    }
  }

  become(state) {
    this.state = state;
    this.onstate(state);
  }
}

// In the page's `#connection`: how it is, how long it will take, and a button for those who do not want to wait.
function showConnection(wire) {
  const { state, retryAt } = wire;
  const [tone, text] = { live: ["ok", "Live"], connecting: ["warn", "Connecting"], waiting: ["warn", "Reconnecting"], closed: ["bad", "Closed"] }[state];
  const left = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
  $("connection").dataset.tone = tone;
  put($("connection-text"), text);
  put($("countdown"), state === "waiting" ? `in ${left} s` : "");
  $("retry").hidden = state !== "waiting" && state !== "closed";
  $("retry").onclick = () => wire.connect();
}
