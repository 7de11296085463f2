// Who buys. In demo mode any name does, and the server makes the token; else the buyer pastes one.
// It knows the dialog that asks, and nothing of sales.

import { Refused, call } from "./server.js";
import { say } from "./words.js";

const $ = (id) => document.getElementById(id);
const NAMES = ["maple", "ginger", "honey", "butter", "cocoa", "peach", "cherry", "vanilla", "almond", "waffle"];

// Storage that may be forbidden.
const kept = (storage, name, value) => {
  try {
    if (value !== undefined) storage().setItem(name, value);
    return storage().getItem(name);
  } catch {
    return value ?? null;
  }
};
const local = () => localStorage;
const session = () => sessionStorage;

// The subject that a token names. The server verifies it; the page only shows it.
function subject(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub || null;
  } catch {
    return null;
  }
}

/** The buyer: `buyer` (a name, or null), `demo`, `token`. `changed()` is called when it becomes somebody else. */
export const who = { buyer: null, token: null, demo: false, changed: () => {} };

async function demoToken(buyer) {
  const { body } = await call("POST", "/demo/token", { body: { buyer } });
  Object.assign(who, { demo: true, buyer, token: body.token });
  kept(local, "hotcake.buyer", buyer);
}

/** Finds out who buys: a demo's remembered or new name, or the token of this tab. */
export async function begin() {
  const number = crypto.getRandomValues(new Uint32Array(2));
  const name = kept(local, "hotcake.buyer") ?? `${NAMES[number[0] % NAMES.length]}-${1000 + (number[1] % 9000)}`;
  try {
    await demoToken(name);
  } catch (cause) {
    // Not a demo: there the path does not exist. No answer at all: the caller tries again.
    if (!(cause instanceof Refused) || cause.busy) throw cause;
    const token = kept(session, "hotcake.token");
    Object.assign(who, { demo: false, token, buyer: token && subject(token) });
  }
}

/** `call` as the buyer. A token that has run out is made anew in a demo, and asked for elsewhere. */
export async function ask(method, path, options) {
  if (!who.token && !(await choose())) throw new Refused(401, { code: "unauthorized" }, null);
  try {
    return await call(method, path, { ...options, token: who.token });
  } catch (cause) {
    if (!(cause instanceof Refused) || cause.status !== 401) throw cause;
    const buyer = who.buyer;
    if (who.demo) await demoToken(buyer);
    else if (!(await choose())) throw cause;
    // Somebody else's token continues somebody else's purchase, not this one.
    if (who.buyer !== buyer) throw cause;
    return call(method, path, { ...options, token: who.token });
  }
}

/** Asks who buys; resolves to whether there was an answer. */
export function choose() {
  const dialog = $("who-dialog");
  const kind = who.demo ? "_demo" : "";
  for (const part of ["title", "text", "label"]) $(`who-${part}`).textContent = say(`who_${part}${kind}`);
  const input = $("who-input");
  input.value = who.demo ? who.buyer : "";
  input.maxLength = who.demo ? 64 : 8192;
  const wrong = (name) => {
    $("who-wrong").textContent = name ? say(name) : "";
    $("who-wrong").hidden = !name;
    input.setAttribute("aria-invalid", String(Boolean(name)));
  };
  wrong(null);
  if (!dialog.open) dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    $("who-form").onsubmit = async (event) => {
      event.preventDefault();
      const text = input.value.trim();
      const before = who.buyer;
      if (who.demo) {
        if (!text || new TextEncoder().encode(text).length > 64) return wrong("who_wrong_demo");
        try {
          await demoToken(text);
        } catch {
          return wrong("who_failed");
        }
      } else {
        const buyer = subject(text);
        if (!buyer) return wrong("who_wrong");
        Object.assign(who, { token: text, buyer });
        kept(session, "hotcake.token", text);
      }
      resolve(true);
      dialog.close();
      if (who.buyer !== before) who.changed();
    };
    $("who-close").onclick = () => dialog.close();
    dialog.onclose = () => resolve(false);
  });
}
