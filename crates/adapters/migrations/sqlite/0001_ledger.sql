-- The embedded ledger, version 1. A ledger's schema is compared with this text word by word when it is opened.
-- Codes are positions in the domain's lists (Status::ALL, Reason::ALL, SaleStatus::ALL, PaymentState::ALL); times are
-- milliseconds since 1970; each `crc` is a CRC-32 over all other columns of its row, in their order.

-- No index stands on orders, order_history and payments on purpose: a random key would dirty a page of its own with
-- every order. Uniqueness is held by the one process that owns the file, from an index that it builds when it opens it.

create table meta (
    name text primary key,
    value integer not null,
    crc integer not null
) without rowid;

create table sales (
    sale integer primary key,
    id text not null unique,
    title text not null,
    campaign text not null,
    goods_type text not null,
    sku text not null,
    unit_price integer not null,
    currency text not null,
    holdback integer not null,
    limit_per_buyer integer not null,
    quantity_max integer not null,
    opens_at integer not null,
    closes_at integer not null,
    pay_within_s integer not null,
    first_units integer not null,
    status integer not null,
    stopped text,
    crc integer not null
);

create table stock (
    sale integer primary key,
    "left" integer not null check ("left" >= 0),
    version integer not null,
    allotment integer not null,
    raises integer not null,
    epoch integer not null,
    run integer not null,
    lease_until integer not null,
    crc integer not null,
    by_hand integer not null default 0
);

-- The ledger writes a new crc with every change; whoever does not is somebody's hand.
create trigger stock_by_hand after update on stock when new.crc is old.crc and old.by_hand = 0 and new.by_hand = 0
begin
    update stock set by_hand = 1 where sale = new.sale;
end;

-- Append-only but for status, version, updated_at, last_seq and successor. The checksum of a row stands in order_history.
create table orders (
    "row" integer primary key,
    sale integer not null,
    digest blob not null,
    buyer text not null,
    quantity integer not null,
    unit_price integer not null,
    currency text not null,
    pay_within_s integer not null,
    asked_at integer not null,
    late blob,
    epoch integer not null,
    status integer not null,
    reason integer,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    first_seq integer not null,
    last_seq integer not null,
    successor integer
);

-- Append-only, one row for what one record changed in one sale. `entries` is packed; see history.rs.
create table order_history (
    seq integer primary key,
    sale integer not null,
    entries blob not null
);

create table movements (
    "row" integer primary key,
    sale integer not null,
    "key" text not null,
    units integer not null,
    number integer,
    actor text not null,
    reason text not null,
    at integer not null,
    refused integer not null,
    crc integer not null,
    unique (sale, "key")
);

create table payments (
    "row" integer primary key,
    id text not null,
    sale integer not null,
    order_row integer not null,
    amount integer not null,
    state integer not null,
    bought_row integer,
    at integer not null,
    crc integer not null
);
