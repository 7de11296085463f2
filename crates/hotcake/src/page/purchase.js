// One buyer's purchase in one sale: its key, its tries, its order. It never buys twice, because the key is written down
// before the first try and every later try (a reload, a lost answer, another tab) goes by the same key.
// It knows no words and no elements; `changed()` says that `view` is new.

import { NoAnswer, Refused, about, call, now, pause } from "./server.js";

// Nothing more comes of these by itself.
const FINAL = new Set(["paid", "cancelled", "expired", "rejected", "refunded"]);
const TRIES_MAX = 8;

// Where the browser refuses to store (some private windows), the purchase is remembered for as long as the page lives.
const memory = new Map();
const store = {
  read(name) {
    try {
      return JSON.parse(localStorage.getItem(name) ?? memory.get(name) ?? "null");
    } catch {
      return JSON.parse(memory.get(name) ?? "null");
    }
  },
  write(name, record) {
    const text = JSON.stringify(record);
    memory.set(name, text);
    try {
      if (localStorage.getItem(name) !== text) localStorage.setItem(name, text);
    } catch {
      // `memory` has it.
    }
  },
  remove(name) {
    memory.delete(name);
    try {
      localStorage.removeItem(name);
    } catch {
      // Nothing was stored.
    }
  },
};

// Not randomUUID: that one exists only on https and on this machine itself.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Purchase {
  /**
   * What is to be shown, by `phase`:
   * `none` · `asking` (a try is on its way, the `tries`-th) · `retrying` (the next try goes at `at`, because of `code`) ·
   * `stopped` (tried enough; `code`) · `processing` (taken, undecided, `since`) · `order` (the row: `order`) ·
   * `refused` (`code`, `body`). With each may stand `acting` (pay or cancel is on its way) and `mishap` (a code).
   */
  view = { phase: "none" };

  /** `ask(method, path, options)` is `call` with the buyer's token; `awake(signal)` resolves when the page is looked at. */
  constructor({ sale, buyer, ask, awake, changed }) {
    Object.assign(this, { sale, ask, awake, changed });
    this.name = `hotcake.purchase/${sale}/${buyer}`;
    this.stopping = new AbortController();
    // Another tab of the same buyer is the same purchase.
    addEventListener("storage", (event) => event.key === this.name && this.heardOfOtherTab(), { signal: this.stopping.signal });
  }

  get record() {
    return store.read(this.name);
  }

  /** The quantity that the remembered purchase is bound to, if one is. */
  get bound() {
    const record = this.record;
    return record && !record.final ? record.quantity : null;
  }

  save(change) {
    store.write(this.name, { ...this.record, ...change });
  }

  show(view) {
    this.view = view;
    this.changed(this);
  }

  /** Stops listening; what is remembered stays. */
  leave() {
    this.stopping.abort();
  }

  /** Goes on where the page was left. */
  async resume() {
    const record = this.record;
    if (!record) return this.show({ phase: "none" });
    // A try was on its way when the page was left: nobody knows what became of it.
    if (record.pending) this.save({ lost: true });
    return record.path ? this.follow() : this.attempt();
  }

  /** A new purchase, unless one is remembered that is not final: then that one goes on. */
  async buy(quantity) {
    const begin = () => {
      const record = this.record;
      if (record && !record.final) return;
      store.write(this.name, { key: newKey(), quantity, path: null, pending: false, lost: false, final: false });
    };
    // Two tabs that buy in the same instant agree on one key.
    await (navigator.locks ? navigator.locks.request(this.name, begin) : begin());
    return this.resume();
  }

  /** Sends the purchase until there is an answer, as often as is polite. */
  async attempt() {
    const signal = this.renewed();
    for (let tries = 1; !signal.aborted; tries += 1) {
      const { key, quantity } = this.record ?? {};
      if (!key) return this.show({ phase: "none" });
      this.show({ phase: "asking", tries });
      this.save({ pending: true });
      try {
        const answer = await this.ask("POST", `/v1/sales/${encodeURIComponent(this.sale)}/orders`, { key, body: { quantity } });
        const id = answer.body.id;
        this.save({ pending: false, path: answer.location ?? `/v1/orders/${id}`, order: id });
        this.row(answer.body);
        return FINAL.has(answer.body.status) ? undefined : this.follow();
      } catch (cause) {
        if (signal.aborted) return;
        const next = this.failed(cause, tries);
        if (!next) return;
        this.show({ phase: "retrying", code: next.code, at: now() + next.ms, tries });
        await pause(next.ms, signal);
      }
    }
  }

  // What a failed try means: shows it and answers nothing, or says why and when to try again.
  failed(cause, tries) {
    if (cause instanceof NoAnswer) {
      this.save({ lost: true });
      if (tries >= TRIES_MAX) return void this.show({ phase: "stopped", code: "no_answer", lost: true });
      return { code: "no_answer", ms: cause.retryAfter ?? about(Math.min(500 * 2 ** tries, 10_000)) };
    }
    if (!(cause instanceof Refused)) throw cause;
    this.save({ pending: false });
    const lost = this.record.lost;
    // Nothing came of any try, so nothing has to be remembered. After a lost one the key stays: that try may yet arrive.
    const forget = () => lost || store.remove(this.name);
    if (cause.busy) {
      if (tries < TRIES_MAX) return { code: cause.code, ms: cause.retryAfter ?? about(1_000 * tries) };
      forget();
      return void this.show({ phase: "stopped", code: cause.code, lost });
    }
    forget();
    this.show({ phase: "refused", code: cause.code, body: cause.body, lost });
  }

  /** Asks for the order until it is final: by long poll, which every proxy and every phone understands. */
  async follow() {
    const signal = this.renewed();
    let quiet = 0;
    while (!signal.aborted) {
      await this.awake(signal);
      const { path, final } = this.record ?? {};
      if (signal.aborted || !path) return;
      const version = this.view.phase === "order" ? this.view.order.version : undefined;
      const url = new URL(path, location.href);
      if (!final) url.searchParams.set("wait", "10");
      if (version !== undefined) url.searchParams.set("after", version);
      const asked = now();
      try {
        const answer = await this.ask("GET", url.pathname + url.search, { signal, seconds: 25 });
        quiet = 0;
        this.row(answer.body);
        if (FINAL.has(answer.body.status)) return;
        // A server that does not wait is not asked without pause.
        await pause(Math.max(answer.retryAfter ?? 0, now() - asked < 1_000 ? about(1_000) : 0), signal);
      } catch (cause) {
        if (signal.aborted) return;
        if (cause instanceof Refused && cause.status === 404) return this.unknown();
        if (cause instanceof Refused && !cause.busy) return this.show({ ...this.view, mishap: cause.code });
        quiet += 1;
        if (this.view.phase === "none") this.show({ phase: "asking", tries: quiet });
        this.show({ ...this.view, mishap: "offline" });
        await pause(cause.retryAfter ?? about(Math.min(500 * 2 ** quiet, 10_000)), signal);
      }
    }
  }

  // The server does not know the order: with a key the same purchase decides it, without one there is nothing to do.
  unknown() {
    if (!this.record?.key || this.asked) {
      store.remove(this.name);
      return this.show({ phase: "refused", code: "order_unknown", body: {} });
    }
    this.asked = true;
    this.save({ path: null, final: false });
    return this.attempt();
  }

  /** Pays by the built-in gateway. */
  pay() {
    return this.act("pay");
  }

  /** Cancels, at whatever stage. */
  cancel() {
    return this.act("cancel");
  }

  async act(verb) {
    const path = this.record?.path;
    if (!path || this.view.acting) return;
    const url = new URL(path, location.href);
    this.show({ ...this.view, acting: verb, mishap: undefined });
    let mishap;
    // The order names its payment, so that a second press, another tab or a lost answer pays once.
    const key = verb === "pay" ? `pay-${this.record.order}` : undefined;
    try {
      const { body } = await this.ask("POST", `${url.pathname}/${verb}${url.search}`, { key });
      if (body.code === "refund_due" || body.code === "late") mishap = `payment_${body.code}`;
      // A payment that came too late may have bought another order in the place of the expired one.
      if (body.id && body.id !== this.record.order) this.save({ order: body.id, path: `/v1/orders/${body.id}`, key: null, final: false });
      if (body.status) this.row(body);
    } catch (cause) {
      mishap = cause instanceof Refused ? cause.code : `no_answer_${verb}`;
    }
    this.show({ ...this.view, acting: undefined, mishap });
    // Whatever was said, what is now is in the row.
    if (!this.record?.final) await this.follow();
  }

  /** Shows an order that the server named (after `limit_reached`). */
  adopt(order) {
    store.write(this.name, { key: null, quantity: null, order, path: `/v1/orders/${encodeURIComponent(order)}`, final: false });
    return this.follow();
  }

  /** Puts a decided purchase away, so that a new one may begin. What is undecided stays remembered. */
  dismiss() {
    const record = this.record;
    if (record?.final || (record && !record.lost && this.view.phase === "stopped")) store.remove(this.name);
    this.renewed();
    this.asked = false;
    this.show({ phase: "none" });
  }

  // Shows an order, unless something newer is shown already.
  row(order) {
    if (order.status === "processing") {
      const since = this.view.phase === "processing" ? this.view.since : now();
      return this.show({ ...this.kept(), phase: "processing", since, order });
    }
    const shown = this.view.phase === "order" && this.view.order.id === order.id ? this.view.order.version : -1;
    if (order.version < shown) return;
    if (FINAL.has(order.status)) this.save({ final: true });
    this.show({ ...this.kept(), phase: "order", order });
  }

  kept() {
    return this.view.acting ? { acting: this.view.acting } : {};
  }

  heardOfOtherTab() {
    const record = this.record;
    if (!record) {
      this.renewed();
      return this.show({ phase: "none" });
    }
    // Until the other tab has an answer, it does the asking.
    return record.path ? this.follow() : undefined;
  }

  // One loop at a time: ends the one that runs and answers the signal of the next.
  renewed() {
    this.loop?.abort();
    this.loop = new AbortController();
    return AbortSignal.any([this.loop.signal, this.stopping.signal]);
  }
}
