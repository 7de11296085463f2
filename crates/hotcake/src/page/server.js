// How the page talks to the server: requests, the three kinds of answer, the server's clock.
// It knows no words, no elements and nothing of a purchase's steps.

// Codes that say "nothing was decided and nothing was touched": the same request may go again.
const BUSY = new Set(["paused", "recovering", "overloaded", "rate_limited"]);

/** The server decided, or says that it touched nothing (`busy`). */
export class Refused extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || body.code);
    this.status = status;
    this.code = body.code;
    this.body = body;
    this.busy = BUSY.has(body.code);
    this.retryAfter = retryAfter;
  }
}

/** No answer, or none that says what happened: unknown is not "no". */
export class NoAnswer extends Error {
  constructor(cause, retryAfter = null) {
    super(String(cause));
    this.retryAfter = retryAfter;
  }
}

// Milliseconds of the server's clock minus those of this page's steady clock. The sample with the shortest way wins,
// and an old sample fades, so that one quick answer long ago does not rule for ever.
const sample = { offset: Date.now() - performance.now(), way: Infinity, at: 0 };

/** The server's time now, in milliseconds since 1970, whatever this machine's clock says. */
export const now = () => performance.now() + sample.offset;

/** Trusts the next sample whatever its way: after a sleep the steady clock may have stood still. */
export const distrust = () => void (sample.way = Infinity);

function learn(time, sent, received) {
  const server = Date.parse(time);
  const way = received - sent;
  if (Number.isNaN(server) || way > sample.way + (received - sample.at) / 100) return;
  Object.assign(sample, { offset: server - (sent + received) / 2, way, at: received });
}

// `Retry-After` in milliseconds: seconds, or a date by the server's clock. Never more than ten minutes.
function retryAfter(headers) {
  const text = headers.get("retry-after");
  if (!text) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now();
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), 600_000);
}

// Front ends that asked for `envelope = "result"` get {success, code, message, data}; the page reads both forms.
const opened = (body) =>
  typeof body.success === "boolean" && "data" in body ? { code: body.code, detail: body.message, ...body.data } : body;

/**
 * One request. Resolves with `{status, body, location, retryAfter}`; throws `Refused` or `NoAnswer`.
 * `seconds` is how long the page waits for the answer.
 */
export async function call(method, path, { token, key, body, language, headers = {}, seconds = 15, signal } = {}) {
  headers = { accept: "application/json", ...headers };
  if (language) headers["accept-language"] = language;
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  if (body !== undefined) headers["content-type"] = "application/json";
  const limit = AbortSignal.timeout(seconds * 1000);
  const sent = performance.now();
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      cache: "no-store",
      credentials: "omit",
    });
    text = await response.text();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new NoAnswer(cause);
  }
  const wait = retryAfter(response.headers);
  let json;
  try {
    json = opened(JSON.parse(text));
  } catch {
    // A proxy's page, say. Below 500 it was not Hotcake that spoke either, but nothing can have been bought.
    if (response.status >= 400 && response.status < 500) throw new Refused(response.status, { code: `http_${response.status}` }, wait);
    throw new NoAnswer(`HTTP ${response.status}`, wait);
  }
  if (json?.server_time) learn(json.server_time, sent, performance.now());
  if (response.ok) return { status: response.status, body: json, location: response.headers.get("location"), retryAfter: wait };
  const refused = new Refused(response.status, json, wait);
  if (response.status >= 500 && !refused.busy) throw new NoAnswer(`HTTP ${response.status} ${refused.code}`, wait);
  throw refused;
}

/** Waits; ends early (and quietly) when `signal` is aborted. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** `ms`, more or less by a quarter, so that a thousand pages do not come back in the same instant. */
export const about = (ms) => ms * (0.75 + Math.random() / 2);

/**
 * Calls `heard(sale)` now and whenever the sale changes, until `signal` is aborted: by the event stream, and by asking
 * every few seconds while the stream does not work. `linked(live)` tells which of the two it is.
 */
export async function follow(sale, { signal, language, heard, failed, linked }) {
  const path = `/v1/sales/${encodeURIComponent(sale)}`;
  const ask = async () => {
    try {
      heard((await call("GET", path, { language, signal })).body);
    } catch (cause) {
      if (!signal.aborted) failed(cause);
    }
  };
  let source;
  const hear = (event) => {
    try {
      heard(opened(JSON.parse(event.data)));
    } catch {
      // An event of a later version.
    }
  };
  const listen = () => {
    source = new EventSource(`${path}/stream`);
    source.onopen = () => linked(true);
    source.onerror = () => linked(false);
    source.addEventListener("sale", hear);
  };
  listen();
  signal.addEventListener("abort", () => source.close(), { once: true });
  await ask();
  for (let rounds = 1; !signal.aborted; rounds += 1) {
    // With the stream, now and then all the same: it keeps the clock true.
    await pause(about(source.readyState === EventSource.OPEN ? 30_000 : 4_000), signal);
    if (signal.aborted) return;
    // The browser itself comes back after a cut, but not after a refusal: a server with too many streams is asked seldom.
    if (source.readyState === EventSource.CLOSED && rounds % 5 === 0) listen();
    await ask();
  }
}
