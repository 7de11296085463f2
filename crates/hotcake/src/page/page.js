// The page: which sale is shown, what its elements say, what the buttons do. The steps of a purchase are in purchase.js,
// the sentences in words.js; this file puts one into the other.

import { NoAnswer, about, call, distrust, follow, now, pause } from "./server.js";
import { Purchase } from "./purchase.js";
import { language, locale, moment, money, say, span, speaks, switchLanguage } from "./words.js";
import { ask, begin, choose, who } from "./who.js";

const $ = (id) => document.getElementById(id);
const chosen = new URLSearchParams(location.search).get("sale");

let sale = null; // as the server last showed it
let sales = null; // the list, when no sale is chosen
let purchase = null;
let live = null; // whether the event stream works
let notice = null; // what stands above everything: {name, values}

// --- small things

const text = (id, words) => {
  const element = $(id);
  // Setting the same words again would make screen readers repeat them.
  if (element.textContent !== words) element.textContent = words;
};
const shown = (id, visible) => void ($(id).hidden = !visible);

/** Resolves when somebody looks at the page: a hidden one asks nothing. */
const awake = (signal) =>
  new Promise((resolve) => {
    if (!document.hidden || signal.aborted) return resolve();
    const woken = () => document.hidden || (document.removeEventListener("visibilitychange", woken), resolve());
    document.addEventListener("visibilitychange", woken);
    signal.addEventListener("abort", resolve, { once: true });
  });

// Where a sale is now, by the server's clock: draft, paused, recovering, archived as they are; else by its times.
function stage(sale) {
  if (["paused", "recovering"].includes(sale.status)) return sale.status;
  if (sale.status === "ended" || sale.status === "archived" || now() >= Date.parse(sale.closes_at)) return "ended";
  if (sale.status === "draft" || now() < Date.parse(sale.opens_at)) return "early";
  return sale.stock === "sold_out" ? "sold_out" : "open";
}

// --- what stands in the elements

function renderWords() {
  document.documentElement.lang = locale();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  $("language").textContent = say("language");
  $("language").lang = language === "zh" ? "en" : "zh";
}

function renderFrame() {
  shown("notice", Boolean(notice));
  text("notice", notice ? say(notice.name, notice.values) : "");
  shown("list", !chosen);
  shown("all", Boolean(chosen));
  shown("sale", Boolean(chosen && sale));
  text("who", who.buyer ? say("you_are", { buyer: who.buyer }) : say("you_are_nobody"));
  text("link-state", !chosen || live === null ? "" : say(live ? "live" : "polling"));
  document.title = sale ? `${sale.title} · Hotcake` : "Hotcake";
}

// The label, the big digits and the line under them: of one sale, now.
function clockOf(sale) {
  const [opens, closes] = [Date.parse(sale.opens_at), Date.parse(sale.closes_at)];
  const at = stage(sale);
  if (at === "early") return { label: say("opens_in"), digits: span(opens - now()), note: say("opens_at", { time: moment(opens, now()) }) };
  if (at === "ended") return { label: say("ended_label"), digits: "", note: closes < now() ? say("ended_at", { time: moment(closes, now()) }) : "" };
  return { label: say("closes_in"), digits: span(closes - now()), note: say("closes_at", { time: moment(closes, now()) }) };
}

function renderList() {
  if (!sales) return;
  const item = (sale) => {
    const { label, digits } = clockOf(sale);
    const at = stage(sale);
    const link = Object.assign(document.createElement("a"), { href: `/?sale=${encodeURIComponent(sale.id)}`, className: `tile ${at}` });
    const line = (className, words) => link.append(Object.assign(document.createElement("span"), { className, textContent: words }));
    line("tile-title", sale.title);
    line("tile-price", money(sale.unit_price, sale.currency));
    line("tile-state", at === "open" || at === "early" || at === "ended" ? `${label} ${digits}`.trim() : say(`buy_${at === "recovering" ? "soon" : at}`));
    const element = document.createElement("li");
    element.append(link);
    return element;
  };
  // The tick replaces the words only, so that the focus stays where it is.
  const list = $("sales");
  const fresh = sales.map(item);
  if (list.children.length === fresh.length) {
    fresh.forEach((element, at) => {
      const [old, made] = [list.children[at].firstChild, element.firstChild];
      if (old.href !== made.href) return old.replaceWith(made);
      old.className = made.className;
      [...made.children].forEach((span, index) => (old.children[index].textContent = span.textContent));
    });
  } else list.replaceChildren(...fresh);
  notice = sales.length ? null : { name: "no_sales" };
}

function renderSale() {
  text("campaign", sale.campaign ?? "");
  shown("campaign", Boolean(sale.campaign));
  text("title", sale.title);
  text("price", money(sale.unit_price, sale.currency));
  const at = stage(sale);
  $("sale").dataset.stage = at;
  const stock = at === "ended" ? null : (sale.stock ?? "unknown");
  $("stock").parentElement.hidden = !stock;
  if (stock) {
    $("stock").parentElement.dataset.stock = stock;
    text("stock", say(speaks(`stock_${stock}`) ? `stock_${stock}` : "stock_unknown"));
  }
  const [limit, max] = [sale.limit_per_buyer, sale.quantity_max];
  text("limits", limit === 1 ? say("limits_one") : say("limits", { limit, max }));
}

function renderTill() {
  const at = stage(sale);
  const bound = purchase?.bound ?? null;
  const input = $("quantity");
  input.max = Math.min(sale.quantity_max, sale.limit_per_buyer);
  if (bound) input.value = bound;
  const quantity = Math.min(Math.max(Math.trunc(Number(input.value)) || 1, 1), Number(input.max));
  input.disabled = Boolean(bound);
  shown("quantity-row", Number(input.max) > 1);
  $("fewer").disabled = Boolean(bound) || quantity <= 1;
  $("more").disabled = Boolean(bound) || quantity >= Number(input.max);
  text("total", money(sale.unit_price * quantity, sale.currency));
  // What is bound must be askable whatever the stock says: it may have been bought already.
  $("buy").disabled = !(at === "open" || bound) || !purchase;
  const label = { open: "buy", early: "buy_at", recovering: "buy_soon" }[at] ?? `buy_${at}`;
  text("buy", bound ? say("again") : say(label, { time: span(Date.parse(sale.opens_at) - now()) }));
  const note = { sold_out: "note_sold_out", paused: "note_paused", recovering: "note_recovering", open: "note_open", early: "note_open" }[at];
  text("buy-note", note ? say(note, { minutes: duration(sale.pay_within_s) }) : "");
}

const duration = (s) => (s % 60 && s < 600 ? say("seconds", { n: s }) : say("minutes", { n: Math.round(s / 60) }));

// What may go wrong beside an order and has a sentence of its own.
const MISHAPS = new Set(["offline", "no_answer_pay", "no_answer_cancel", "payment_refund_due", "payment_late", "wrong_status", "demo_only"]);

// Headline and sentence for what the purchase is now.
function wordsOf({ phase, code, body, order, since, tries, lost, acting }) {
  if (acting) return [say(acting === "pay" ? "charging" : "cancelling"), ""];
  if (phase === "asking") return [say("asking"), say(tries > 1 || purchase.record?.lost ? "asking_again_text" : "asking_text")];
  if (phase === "retrying") return [say(speaks(code) ? code : "retrying"), say(`${code}_text`)];
  if (phase === "processing") return [say("processing"), say(now() - since > 10_000 ? "processing_long" : "processing_text")];
  if (phase === "stopped") return [say(code), say(lost ? "no_answer_stopped" : `${code}_text`)];
  if (phase === "refused") {
    if (!speaks(`${code}_text`)) return [say("rejected"), say("unknown_text", { detail: body.detail ?? code })];
    const opens = Date.parse(body.opens_at ?? sale.opens_at);
    return [say(code), say(`${code}_text`, { time: moment(opens, now()) })];
  }
  const { status, reason } = order;
  if (status === "rejected") return [say("rejected"), say(speaks(`rejected_${reason}`) ? `rejected_${reason}` : "rejected_lost")];
  if (status === "expired" && order.successor) return [say("expired"), say("expired_successor")];
  if (status === "confirmed" && order.pay_by && Date.parse(order.pay_by) <= now()) return [say("confirmed"), say("confirmed_late")];
  return [say(status), say(`${status}_text`)];
}

// How far the purchase has come, of asked, confirmed, paid.
function progress({ phase, order }) {
  if (phase === "order") return { confirmed: 2, paid: 3, refunded: 3 }[order.status] ?? 1;
  return phase === "processing" ? 1 : 0;
}

function renderPurchase() {
  const view = purchase?.view ?? { phase: "none" };
  const { phase, order, mishap } = view;
  const visible = phase !== "none";
  const hadFocus = $("buy-form").contains(document.activeElement) || $("purchase").contains(document.activeElement);
  shown("buy-form", !visible);
  shown("purchase", visible);
  $("sale").classList.toggle("buying", visible);
  if (!visible) return;
  const status = phase === "order" ? order.status : phase;
  $("purchase").dataset.status = status;
  const [headline, sentence] = wordsOf(view);
  text("headline", headline);
  text("sentence", sentence);
  shown("sentence", Boolean(sentence));
  const reached = progress(view);
  const over = ["cancelled", "expired", "rejected", "refunded", "refused", "stopped"].includes(status);
  shown("steps", !over);
  [...$("steps").children].forEach((step, at) => {
    step.className = at < reached ? "done" : at === reached ? "now" : "";
    if (at === reached) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
  shown("waiting", phase === "retrying");
  const payable = status === "confirmed";
  shown("pay-time", payable && Boolean(order.pay_by));
  shown("facts", Boolean(order?.amount !== undefined && order?.quantity));
  if (!$("facts").hidden) {
    text("fact-quantity", String(order.quantity));
    text("fact-total", money(order.amount, order.currency ?? sale.currency));
    text("fact-order", order.id);
  }
  text("mishap", mishap ? (MISHAPS.has(mishap) ? say(mishap) : say("mishap", { code: mishap })) : "");
  shown("mishap", Boolean(mishap));
  const acting = Boolean(view.acting);
  shown("pay", payable);
  $("pay").disabled = acting;
  if (payable) text("pay", say("pay", { amount: money(order.amount, order.currency ?? sale.currency) }));
  shown("cancel", payable || phase === "processing");
  $("cancel").disabled = acting;
  const retry = phase === "stopped" || (phase === "refused" && (purchase.bound || view.code === "unauthorized"));
  shown("again", Boolean(retry));
  text("again", say("again"));
  shown("show", phase === "refused" && view.code === "limit_reached" && Boolean(existing(view.body)));
  const final = Boolean(purchase.record?.final) || phase === "refused" || (phase === "stopped" && !view.lost);
  shown("done", final);
  const buyAgain = ["cancelled", "expired", "rejected", "paid", "refunded"].includes(status);
  text("done", say(buyAgain ? "buy_again" : "back"));
  // The button that was pressed is gone: the headline takes the focus, so that the keyboard does not start from the top.
  if (hadFocus && (document.activeElement === document.body || !document.activeElement?.checkVisibility?.())) {
    $("headline").focus({ preventScroll: true });
  }
}

const existing = (body) => body?.order_id ?? null;

// What changes by the second.
function renderTime() {
  if (!chosen) return renderList();
  if (!sale) return;
  const { label, digits, note } = clockOf(sale);
  text("clock-label", label);
  text("countdown", digits);
  text("clock-note", note);
  renderTill();
  const view = purchase?.view;
  if (view?.phase === "retrying") text("waiting", say("again_in", { n: Math.max(0, Math.ceil((view.at - now()) / 1000)) }));
  if (view?.phase === "processing") renderPurchase();
  if (view?.phase === "order" && view.order.status === "confirmed" && view.order.pay_by) {
    const left = Date.parse(view.order.pay_by) - now();
    text("pay-left", span(Math.min(left, sale.pay_within_s * 1000)));
    $("pay-bar").max = sale.pay_within_s * 1000;
    $("pay-bar").value = Math.max(0, left);
    $("pay-time").classList.toggle("soon", left < 60_000);
    if (left <= 0) renderPurchase();
  }
}

function render() {
  if (sale) {
    renderSale();
    renderPurchase();
  }
  renderTime();
  renderFrame();
}

// On the second of the server's clock, so that all pages turn together.
function tick() {
  if (!document.hidden) renderTime();
  setTimeout(tick, 1000 - (now() % 1000) + 5);
}

// --- what the buttons do

function choosePurchase() {
  purchase?.leave();
  purchase = null;
  if (!chosen) return render();
  const mine = new Purchase({
    sale: chosen,
    buyer: who.buyer ?? "",
    ask: (method, path, options) => ask(method, path, { language, ...options }),
    awake,
    changed: () => purchase === mine && render(),
  });
  purchase = mine;
  mine.resume();
}

function wire() {
  const input = $("quantity");
  const turn = (by) => {
    input.value = Math.min(Math.max((Math.trunc(Number(input.value)) || 1) + by, 1), Number(input.max));
    renderTill();
  };
  $("fewer").onclick = () => turn(-1);
  $("more").onclick = () => turn(1);
  input.oninput = renderTill;
  input.onchange = () => turn(0);
  $("buy-form").onsubmit = async (event) => {
    event.preventDefault();
    turn(0);
    if (!who.token && !(await choose())) return;
    purchase.buy(Number(input.value));
  };
  $("again").onclick = () => purchase.buy(Number(input.value));
  $("show").onclick = () => purchase.adopt(existing(purchase.view.body));
  $("done").onclick = () => {
    purchase.dismiss();
    ($("buy").disabled ? $("main") : $("buy")).focus({ preventScroll: true });
  };
  $("pay").onclick = () => purchase.pay();
  $("cancel").onclick = () => {
    $("cancel-dialog").returnValue = "keep";
    $("cancel-dialog").showModal();
  };
  $("cancel-dialog").onclose = () => $("cancel-dialog").returnValue === "cancel" && purchase.cancel();
  $("change").onclick = () => choose();
  $("language").onclick = () => {
    switchLanguage();
    renderWords();
    render();
  };
  who.changed = choosePurchase;
}

// --- what the server shows

// Follows the chosen sale for as long as somebody looks at the page.
async function followSale() {
  for (;;) {
    await awake({ aborted: false, addEventListener() {} });
    distrust();
    const hidden = new AbortController();
    document.addEventListener("visibilitychange", () => document.hidden && hidden.abort(), { signal: hidden.signal });
    await follow(chosen, {
      signal: hidden.signal,
      language,
      heard: (fresh) => {
        sale = fresh;
        notice = null;
        render();
      },
      failed: (cause) => {
        const unknown = cause.status === 404 || cause.status === 400;
        notice = unknown ? { name: "sale_unknown", values: { sale: chosen } } : { name: "server_silent" };
        render();
      },
      linked: (is) => {
        live = is;
        renderFrame();
      },
    });
  }
}

async function followList() {
  for (;;) {
    await awake({ aborted: false, addEventListener() {} });
    try {
      const { body } = await call("GET", "/v1/sales", { language });
      sales = body.items;
      notice = null;
    } catch {
      notice = { name: "server_silent" };
    }
    render();
    await pause(about(10_000));
  }
}

async function identify() {
  for (let tries = 1; ; tries += 1) {
    try {
      await begin();
      return choosePurchase();
    } catch (cause) {
      if (!(cause instanceof NoAnswer) && !cause.busy) throw cause;
      await pause(cause.retryAfter ?? about(Math.min(500 * 2 ** tries, 10_000)));
    }
  }
}

renderWords();
notice = { name: "loading" };
renderFrame();
wire();
tick();
identify();
chosen ? followSale() : followList();
