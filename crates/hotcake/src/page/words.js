// Every sentence of the page, in English and Chinese. It knows no elements and no server.
// A sentence says what is so and what to do next. `{name}` is filled in by `say`.

const en = {
  language: "中文",
  skip: "Skip to the sale",
  sales: "Sales",
  all_sales: "All sales",
  no_sales: "There is no sale at the moment. This page looks again by itself.",
  loading: "One moment …",
  each: "each",
  till: "Buy",
  quantity: "Quantity",
  fewer: "One less",
  more: "One more",
  total: "Total",
  order: "Order",
  buy: "Buy now",
  buy_at: "Opens in {time}",
  buy_soon: "Opens soon",
  buy_sold_out: "Sold out",
  buy_paused: "Paused",
  buy_ended: "Ended",
  opens_in: "Opens in",
  opens_at: "Opens at {time}",
  closes_in: "Ends in",
  closes_at: "Ends at {time}",
  ended_label: "This sale has ended",
  ended_at: "It ended at {time}",
  days: "{n} d",
  stock_plenty: "In stock",
  stock_few: "Only a few left",
  stock_sold_out: "Sold out",
  stock_unknown: "Stock is being counted",
  note_sold_out: "Units can come back when an order is not paid. This page shows it at once.",
  note_paused: "The shop has paused this sale. Nothing is lost; it goes on here as soon as it is opened again.",
  note_recovering: "The stock is being counted anew. This takes some seconds; the button comes back by itself.",
  note_open: "Pay within {minutes} after the order is confirmed.",
  limits_one: "One per buyer.",
  limits: "Up to {limit} per buyer, up to {max} in one purchase.",
  minutes: "{n} min",
  seconds: "{n} s",
  step_asked: "Asked",
  step_confirmed: "Confirmed",
  step_paid: "Paid",
  pay_left: "Time left to pay",
  pay: "Pay {amount}",
  cancel: "Cancel the order",
  cancel_title: "Cancel this order?",
  cancel_text: "It goes back on sale, and somebody else may take it.",
  cancel_keep: "Keep it",
  cancel_yes: "Cancel the order",
  show_order: "Show my order",
  again: "Try again",
  back: "Back to the sale",
  buy_again: "Buy again",
  again_in: "Next try in {n} s",

  asking: "Asking …",
  asking_text: "Your purchase is on its way to the shop.",
  asking_again_text: "Asking again about the same purchase. You cannot buy it twice.",
  retrying: "Not yet",
  processing: "Being processed",
  processing_text: "The shop has taken your request. It is not decided yet. You may leave this page: your purchase is remembered.",
  processing_long: "This takes longer than usual. It is still undecided; you will see the outcome here. There is no need to buy again.",
  confirmed: "It is yours",
  confirmed_text: "Your order is confirmed. Please pay in time, or it goes to somebody else.",
  confirmed_late: "The time to pay is over; the shop is closing the order.",
  paid: "Paid. Thank you!",
  paid_text: "Your order is complete.",
  cancelled: "Cancelled",
  cancelled_text: "Your order is cancelled and costs nothing. You may buy again.",
  expired: "Expired",
  expired_text: "It was not paid in time, so it went back on sale. You may buy again.",
  expired_successor: "It was paid too late, and the payment bought a new order in its place.",
  rejected: "Not this time",
  rejected_sold_out: "When your turn came, too few units were left. You have not been charged. Try again if units come back.",
  rejected_limit_reached: "You already have as many units as this sale allows. You have not been charged.",
  rejected_stale_epoch: "The stock was counted anew while you bought. You have not been charged; please try again.",
  rejected_lost: "Your request was lost on its way. You have not been charged; please try again.",
  rejected_refund_due: "The payment came too late and is being given back. You may buy again.",
  refunded: "Refunded",
  refunded_text: "Your money is on its way back.",
  charging: "Paying …",
  cancelling: "Cancelling …",

  sold_out: "Sold out",
  sold_out_text: "Nothing was bought. Units come back when orders are not paid; try again when the stock says so, or take fewer.",
  limit_reached: "You have it already",
  limit_reached_text: "This sale allows no more units per buyer. Nothing further was bought.",
  not_open: "Not open yet",
  not_open_text: "Nothing was bought. Selling starts at {time}; the button opens by itself.",
  ended: "The sale is over",
  ended_text: "Nothing was bought. Have a look at the other sales.",
  paused: "The sale is paused",
  paused_text: "Nothing was bought and nothing was touched. Try again when the shop opens it again.",
  recovering: "The stock is being counted",
  recovering_text: "Nothing was bought and nothing was touched. This usually takes a few seconds.",
  overloaded: "Very many buyers at once",
  overloaded_text: "Nothing was bought and nothing was touched. There is no queue to lose a place in: simply try again.",
  rate_limited: "A little too fast",
  rate_limited_text: "Nothing was bought. Wait a moment, then try again.",
  no_answer: "No answer",
  no_answer_text: "The purchase may have gone through, or not. The page asks again about the same purchase, so you cannot buy twice.",
  no_answer_stopped: "The purchase may have gone through, or not. It is remembered: try again when the network is back, you cannot buy twice.",
  no_answer_pay: "The payment was not answered. Look at the order above before you pay again; it cannot be paid twice.",
  no_answer_cancel: "The cancellation was not answered. Look at the order above and try again if it still stands.",
  offline: "No connection at the moment. The page keeps asking; what you see may be a little old.",
  idempotency_mismatch: "Another purchase has this key",
  idempotency_mismatch_text: "Nothing new was bought. Go back and buy again.",
  invalid_request: "The shop did not understand",
  invalid_request_text: "Nothing was bought. Reload the page and try again.",
  unauthorized: "Who are you?",
  unauthorized_text: "Nothing was bought. Your token is missing or has run out: give a new one below the sale, then try again.",
  forbidden: "Not allowed",
  forbidden_text: "Nothing was bought. This token may not buy here: use another one.",
  order_unknown: "No such order",
  order_unknown_text: "The shop knows no such order of yours. Nothing was charged; you may buy again.",
  unknown_text: "Nothing was bought. The shop says: {detail}",
  mishap: "That did not work ({code}). What the order is now stands above.",
  demo_only: "Payment is not taken on this page. Please pay where the shop says.",
  wrong_status: "Too late for that: the order has moved on. What it is now stands above.",
  payment_refund_due: "The payment came too late and is being given back.",
  payment_late: "The payment came too late; the shop is trying to buy again with it.",

  sale_unknown: "There is no sale called “{sale}”. Choose another one.",
  server_silent: "The shop does not answer. This page keeps trying.",
  live: "Live",
  polling: "Looking every few seconds",

  you_are: "You are {buyer}.",
  you_are_nobody: "You have not said who you are.",
  change: "Change",
  who_title_demo: "Who buys?",
  who_text_demo: "This is a demonstration: choose any name.",
  who_label_demo: "Name",
  who_title: "Who are you?",
  who_text: "Paste the buyer's token that the shop gave you. It stays in this tab and is forgotten when you close it.",
  who_label: "Token",
  who_wrong: "This is not a token: it has three parts with dots between them and names a buyer.",
  who_wrong_demo: "A name has 1 to 64 characters.",
  who_failed: "The shop did not accept it. Check it and try again.",
  use_it: "Continue",
  close: "Close",
};

const zh = {
  language: "English",
  skip: "跳到活动",
  sales: "活动列表",
  all_sales: "全部活动",
  no_sales: "目前没有活动，本页会自动刷新。",
  loading: "请稍候……",
  each: "/ 件",
  till: "购买",
  quantity: "数量",
  fewer: "减少一件",
  more: "增加一件",
  total: "合计",
  order: "订单号",
  buy: "立即抢购",
  buy_at: "{time} 后开抢",
  buy_soon: "即将开始",
  buy_sold_out: "已售罄",
  buy_paused: "已暂停",
  buy_ended: "已结束",
  opens_in: "距开始",
  opens_at: "{time} 开始",
  closes_in: "距结束",
  closes_at: "{time} 结束",
  ended_label: "活动已结束",
  ended_at: "已于 {time} 结束",
  days: "{n} 天",
  stock_plenty: "有货",
  stock_few: "所剩不多",
  stock_sold_out: "已售罄",
  stock_unknown: "正在盘点库存",
  note_sold_out: "未付款的订单会释放库存，本页会立即显示。",
  note_paused: "商家暂停了活动。没有任何损失，恢复后可在此继续购买。",
  note_recovering: "正在重新盘点库存，只需几秒，按钮会自动恢复。",
  note_open: "订单确认后请在 {minutes}内付款。",
  limits_one: "每人限购 1 件。",
  limits: "每人限购 {limit} 件，单次最多 {max} 件。",
  minutes: "{n} 分钟",
  seconds: "{n} 秒",
  step_asked: "已提交",
  step_confirmed: "已确认",
  step_paid: "已付款",
  pay_left: "剩余付款时间",
  pay: "付款 {amount}",
  cancel: "取消订单",
  cancel_title: "确定取消订单？",
  cancel_text: "商品将重新开售，可能被别人买走。",
  cancel_keep: "保留订单",
  cancel_yes: "取消订单",
  show_order: "查看我的订单",
  again: "重试",
  back: "返回活动",
  buy_again: "再次购买",
  again_in: "{n} 秒后重试",

  asking: "正在提交……",
  asking_text: "正在把您的购买请求送往商家。",
  asking_again_text: "正在为同一笔购买再次询问，不会重复购买。",
  retrying: "还没好",
  processing: "处理中",
  processing_text: "商家已收到您的请求，结果尚未确定。您可以离开本页，购买会被记住。",
  processing_long: "比平时慢一些，结果仍未确定，会显示在这里。无需再次购买。",
  confirmed: "抢到了！",
  confirmed_text: "订单已确认。请按时付款，逾期商品将释放给他人。",
  confirmed_late: "付款时间已过，商家正在关闭订单。",
  paid: "付款成功，谢谢！",
  paid_text: "订单已完成。",
  cancelled: "已取消",
  cancelled_text: "订单已取消，不收取任何费用。您可以再次购买。",
  expired: "已过期",
  expired_text: "未按时付款，商品已重新开售。您可以再次购买。",
  expired_successor: "付款到得太晚，已用这笔款项购得一笔新订单。",
  rejected: "很遗憾，没有抢到",
  rejected_sold_out: "轮到您时库存不足。没有扣款，若有库存释放可再试。",
  rejected_limit_reached: "您的购买数量已达本活动上限。没有扣款。",
  rejected_stale_epoch: "购买期间库存被重新盘点。没有扣款，请重试。",
  rejected_lost: "您的请求在途中丢失。没有扣款，请重试。",
  rejected_refund_due: "付款到得太晚，款项正在退回。您可以再次购买。",
  refunded: "已退款",
  refunded_text: "款项正在退回。",
  charging: "正在付款……",
  cancelling: "正在取消……",

  sold_out: "已售罄",
  sold_out_text: "没有购买成功。未付款的订单会释放库存，请在有货时重试，或减少数量。",
  limit_reached: "您已经买过了",
  limit_reached_text: "已达到每人限购数量，没有再次购买。",
  not_open: "尚未开始",
  not_open_text: "没有购买成功。{time} 开抢，按钮会自动开启。",
  ended: "活动已结束",
  ended_text: "没有购买成功。去看看其他活动吧。",
  paused: "活动已暂停",
  paused_text: "没有购买，也没有任何变动。商家恢复后请重试。",
  recovering: "正在盘点库存",
  recovering_text: "没有购买，也没有任何变动。通常只需几秒。",
  overloaded: "抢购的人太多了",
  overloaded_text: "没有购买，也没有任何变动。无需排队，重试即可。",
  rate_limited: "操作太快了",
  rate_limited_text: "没有购买成功。请稍候再试。",
  no_answer: "没有回应",
  no_answer_text: "这笔购买可能成功，也可能没有。本页会为同一笔购买再次询问，不会重复购买。",
  no_answer_stopped: "这笔购买可能成功，也可能没有。它已被记住：网络恢复后请重试，不会重复购买。",
  no_answer_pay: "付款没有得到回应。再次付款前请先查看上方订单状态；不会重复扣款。",
  no_answer_cancel: "取消没有得到回应。请查看上方订单状态，若仍有效请重试。",
  offline: "暂时没有网络连接，本页会继续询问；当前显示可能略旧。",
  idempotency_mismatch: "该标识已用于另一笔购买",
  idempotency_mismatch_text: "没有新的购买。请返回后重新购买。",
  invalid_request: "商家无法理解请求",
  invalid_request_text: "没有购买成功。请刷新页面后重试。",
  unauthorized: "请先表明身份",
  unauthorized_text: "没有购买成功。令牌缺失或已过期：请在页面下方更换后重试。",
  forbidden: "没有权限",
  forbidden_text: "没有购买成功。该令牌不能在此购买，请更换。",
  order_unknown: "没有这个订单",
  order_unknown_text: "商家没有找到您的这个订单。没有扣款，您可以再次购买。",
  unknown_text: "没有购买成功。商家回复：{detail}",
  mishap: "操作没有成功（{code}）。订单当前状态见上方。",
  demo_only: "本页不能付款，请按商家说明付款。",
  wrong_status: "操作太晚了，订单状态已变化，当前状态见上方。",
  payment_refund_due: "付款到得太晚，款项正在退回。",
  payment_late: "付款到得太晚，商家正用这笔款项尝试再次购买。",

  sale_unknown: "没有名为“{sale}”的活动，请选择其他活动。",
  server_silent: "商家暂无回应，本页会继续尝试。",
  live: "实时更新",
  polling: "每隔几秒更新",

  you_are: "您是 {buyer}。",
  you_are_nobody: "您还没有表明身份。",
  change: "更换",
  who_title_demo: "谁来购买？",
  who_text_demo: "这是演示环境，名字随意。",
  who_label_demo: "名字",
  who_title: "请表明身份",
  who_text: "请粘贴商家给您的买家令牌。它只保存在本标签页，关闭后即被遗忘。",
  who_label: "令牌",
  who_wrong: "这不是令牌：令牌由点号分隔的三段组成，并写明买家。",
  who_wrong_demo: "名字为 1 到 64 个字符。",
  who_failed: "商家没有接受，请检查后重试。",
  use_it: "继续",
  close: "关闭",
};

const languages = { en, zh };
const remembered = () => {
  try {
    return localStorage.getItem("hotcake.language");
  } catch {
    return null;
  }
};

/** The language spoken now: the one chosen before, else the browser's. */
export let language = remembered() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!(language in languages)) language = "en";

/** The tag for `lang` and for the formats of numbers and times. */
export const locale = () => (language === "zh" ? "zh-CN" : navigator.language.startsWith("en") ? navigator.language : "en");

/** The other language from now on. */
export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  try {
    localStorage.setItem("hotcake.language", language);
  } catch {
    // Then it is not remembered.
  }
}

/** Whether there is a sentence of that name. */
export const speaks = (name) => Object.hasOwn(languages[language], name);

/** The sentence of that name. */
export const say = (name, values = {}) =>
  languages[language][name].replace(/\{(\w+)\}/g, (_, word) => values[word] ?? "");

/** An amount in minor units, as people write it. */
export function money(minor, currency) {
  const format = new Intl.NumberFormat(locale(), { style: "currency", currency, currencyDisplay: "narrowSymbol" });
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** `ms` as 0:07, 12:34, 3:00:07 or with days before it; never below zero. */
export function span(ms) {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const [days, hours, minutes, seconds] = [Math.floor(all / 86_400), Math.floor(all / 3_600) % 24, Math.floor(all / 60) % 60, all % 60];
  const clock = days || hours ? `${two(hours)}:${two(minutes)}:${two(seconds)}` : `${two(minutes)}:${two(seconds)}`;
  return days ? `${say("days", { n: days })} ${clock}` : clock;
}

/** A time of the server's, in the reader's zone: the date only when it is another day than today. */
export function moment(ms, today) {
  const day = (at) => new Date(at).toDateString();
  const date = day(ms) === day(today) ? {} : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(locale(), { ...date, hour: "numeric", minute: "2-digit", second: "2-digit" }).format(ms);
}
