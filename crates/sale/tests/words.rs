//! The words of a sale: what is a value and what is none; the names of purchases; a batch as bytes.

use sale::contract::{Seeded, UNIT_PRICE, ask, batch, buyers_of, late_ask, sale, terms};
use sale::message::{Decoded, decode, encode};
use sale::words::*;
use std::collections::BTreeSet;

/// A change that makes something wrong.
type Spoil<T> = fn(&mut T);

/// Which of these texts are values.
fn check<T: std::str::FromStr<Err = Invalid>>(code: &str, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(text.parse::<T>().is_ok(), "{text:?} should be read");
    }
    for text in bad {
        match text.parse::<T>() {
            Ok(_) => panic!("{text:?} should be refused"),
            Err(invalid) => assert_eq!(invalid.code, code, "{text:?}"),
        }
    }
}

#[test]
fn c46_a_sales_id_holds_nothing_that_is_syntax_elsewhere() {
    let good = ["a", "0", "demo", "a-b", "a--b", "12345678901234567890"];
    let long = "a".repeat(10_000);
    let bad = [
        "",
        "-",
        "-a",
        "a-",
        "A",
        "a_b",
        "a b",
        " a",
        "a\r\n",
        "a}",
        "{a}",
        "a*",
        "a'",
        "a\"",
        "a;drop",
        "a/b",
        "..",
        "a\0",
        "日本",
        "🔥",
        "123456789012345678901",
        &long,
    ];
    check::<SaleId>("invalid_sale_id", &good, &bad);
    assert!(good.iter().all(|text| text.parse::<SaleId>().unwrap().to_string() == *text));
}

#[test]
fn c30_a_key_is_visible_ascii_of_bounded_length() {
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    check::<PurchaseKey>(
        "invalid_idempotency_key",
        &["k", "!~", "a/b:{}", &longest],
        &["", " ", "a b", "a\t", "a\0", "\x7f", "é", &too_long],
    );
}

#[test]
fn the_other_ids_are_read_within_their_bounds() {
    let (most, more) = ("b".repeat(64), "b".repeat(65));
    check::<BuyerId>("invalid_buyer", &["b", "o'neill", "日本 %", &most], &["", "a\nb", "a\0", "\u{85}", &more]);
    check::<PaymentId>("invalid_payment_id", &["p", "p/1:{}", &most], &["", "p 1", "é", "p\r", &more]);
    check::<MovementKey>("invalid_movement_key", &["m", "m-1", &most], &["", "m 1", "é", "m\n", &more]);
    check::<Currency>("invalid_currency", &["CNY", "XXX"], &["", "CN", "CNYY", "cny", "C1Y", "¥¥¥"]);
}

#[test]
fn an_order_id_is_read_as_it_is_written_and_no_other_way() {
    let id = OrderId { sale: sale("a-b"), digest: ask(sale("a-b"), "ann", 1).digest };
    let text = id.to_string();
    assert_eq!(text.parse(), Ok(id));
    let digest = id.digest.hex();
    let bad = [
        "",
        "-",
        "a-b",
        &digest,
        &format!("-{digest}"),
        &format!("a-b-{}", digest.to_uppercase()),
        &format!("a-b-{}", &digest[1..]),
        &format!("a-b-0{digest}"),
        &format!("A-{digest}"),
        &format!("{text} "),
        &format!("a-b-{}é", &digest[2..]),
    ];
    check::<OrderId>("invalid_order_id", &[&text], &bad);
}

#[test]
fn c40_a_quantity_is_one_to_a_thousand() {
    assert_eq!([1, 2, 1_000].map(|units| Quantity::new(units).unwrap().units()), [1, 2, 1_000]);
    for units in [0, 1_001, 1 << 31, u32::MAX] {
        assert_eq!(Quantity::new(units).unwrap_err().code, "invalid_quantity");
    }
}

#[test]
fn money_cannot_overflow() {
    assert!([0, 1, UNIT_PRICE_MAX].into_iter().all(|minor| Price::new(minor).unwrap().minor() == minor));
    for minor in [-1, i64::MIN, UNIT_PRICE_MAX + 1, i64::MAX] {
        assert_eq!(Price::new(minor).unwrap_err().code, "invalid_unit_price");
    }
    let most = Price::new(UNIT_PRICE_MAX).unwrap().times(Quantity::new(QUANTITY_MAX).unwrap());
    assert_eq!(most, 1_000_000_000_000_000);
    assert_eq!(ask(sale("money"), "ann", 2).amount(), 2 * UNIT_PRICE);
}

#[test]
fn times_at_the_end_of_time_do_not_wrap() {
    assert_eq!((Time(5).after_ms(7), Time(5).since_ms(Time(7))), (Time(12), -2));
    assert_eq!(Time(i64::MAX).after_ms(1), Time(i64::MAX));
    assert_eq!(Time(i64::MIN).since_ms(Time(1)), i64::MIN);
}

#[test]
fn each_fault_of_the_terms_is_named_with_its_field() {
    let faults = |units: i64, change: fn(&mut Terms)| {
        let mut terms = terms(sale("terms"));
        change(&mut terms);
        terms.faults(units).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>()
    };
    assert_eq!(faults(10, |_| {}), [""; 0]);
    assert_eq!(faults(0, |_| {}), [""; 0], "a sale of nothing is a sale");
    assert_eq!(faults(UNITS_MAX, |t| t.holdback = UNITS_MAX), [""; 0]);
    // C39: units that are no units.
    for units in [-1, i64::MIN, UNITS_MAX + 1, 1 << 31, i64::MAX] {
        assert_eq!(faults(units, |_| {}), ["/units"], "{units}");
    }
    let one_each: [(&str, Spoil<Terms>); 16] = [
        ("/title", |t| t.title = String::new()),
        ("/title", |t| t.title = "a\nb".into()),
        ("/title", |t| t.title = "x".repeat(LABEL_MAX + 1)),
        ("/campaign", |t| t.campaign = "\0".into()),
        ("/goods_type", |t| t.goods_type = String::new()),
        ("/goods_type", |t| t.goods_type = "a||b".into()),
        ("/goods_type", |t| t.goods_type = "*".into()),
        ("/sku", |t| t.sku = String::new()),
        ("/holdback", |t| t.holdback = -1),
        ("/holdback", |t| t.holdback = 11),
        ("/quantity_max", |t| t.quantity_max = 0),
        ("/limit_per_buyer", |t| t.limit_per_buyer = 1),
        ("/limit_per_buyer", |t| t.limit_per_buyer = u32::MAX),
        ("/closes_at", |t| t.closes_at = t.opens_at),
        ("/pay_within_s", |t| t.pay_within_s = 0),
        ("/pay_within_s", |t| t.pay_within_s = 604_801),
    ];
    for (pointer, change) in one_each {
        assert_eq!(faults(10, change), [pointer]);
    }
    assert_eq!(faults(10, |t| (t.quantity_max, t.limit_per_buyer) = (1_001, 1_001)), ["/quantity_max"]);
    assert_eq!(faults(10, |t| (t.title, t.sku) = (String::new(), String::new())), ["/title", "/sku"], "all of them, not the first");
}

// ------------------------------------------------------------------------------------------------ names of purchases

fn named(sale_id: &str, buyer: &str, key: &str) -> OrderId {
    OrderId::of_purchase(sale(sale_id), &buyer.parse().expect("a buyer"), &key.parse().expect("a key"))
}

#[test]
fn c29_a_purchase_is_named_by_sale_buyer_and_key() {
    assert_eq!(named("demo", "ann", "k1"), named("demo", "ann", "k1"));
    let names = [
        named("demo", "ann", "k1"),
        named("demo", "bob", "k1"),
        named("demo", "ann", "k2"),
        named("other", "ann", "k1"),
        // The same letters, cut elsewhere.
        named("demo", "an", "nk1"),
        named("demo", "annk", "1"),
        named("demoa", "nn", "k1"),
    ];
    assert_eq!(names.iter().map(|id| id.digest).collect::<BTreeSet<_>>().len(), names.len());
    // A payment cannot take a purchase's name, nor a key a payment's.
    let late = OrderId::of_late_payment(sale("demo"), &"ann".parse().unwrap(), &"k1".parse().unwrap());
    assert!(!names.contains(&late));
}

#[test]
fn c31_the_name_of_a_purchase_is_the_same_in_every_version() {
    // Rows of years ago are found by it: a change of these two lines is a change of every order's id. They are the first
    // half of `printf 'purchase\0demo\0ann\0k1' | sha256sum` and of `printf 'late-payment\0demo\0ann\0k1' | sha256sum`.
    assert_eq!(named("demo", "ann", "k1").to_string(), "demo-aaf9db7e2841cb52cca5816323f3be82");
    let late = OrderId::of_late_payment(sale("demo"), &"ann".parse().unwrap(), &"k1".parse().unwrap());
    assert_eq!(late.to_string(), "demo-39a56244244408e8a330d65762573c6b");
}

// -------------------------------------------------------------------------------------------------- a batch as bytes

fn sound() -> Batch {
    let id = sale("message");
    let mut asks = buyers_of(id, 3, 2);
    asks.push(late_ask(id, &asks[0], &"pay-1".parse().expect("a payment")));
    asks.push(ask(id, "o'neill 日本", 1));
    Batch { id: BatchId { node: u64::MAX, number: 3 }, ..batch(0, id, Epoch(u64::MAX), asks) }
}

/// Bytes with a head that fits them.
fn headed(version: u8, body: &[u8]) -> Vec<u8> {
    [b"HC", &[version][..], &crc32fast::hash(body).to_be_bytes(), body].concat()
}

#[test]
fn a_batch_is_read_as_it_was_written() {
    assert_eq!(decode(&encode(&sound())), Decoded::Batch(sound()));
    let largest = batch(1, sale("message"), Epoch(1), buyers_of(sale("message"), BATCH_MAX, QUANTITY_MAX));
    assert_eq!(decode(&encode(&largest)), Decoded::Batch(largest));
}

#[test]
fn c16_one_flipped_bit_anywhere_is_never_a_batch() {
    let bytes = encode(&sound());
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        match decode(&flipped) {
            Decoded::Poison(_) => {}
            // A flipped version cannot be told from a later one: it is tried again, then parked.
            Decoded::Later(version) => assert!(at / 8 == 2 && version > 1, "bit {at}"),
            Decoded::Batch(_) => panic!("bit {at} was flipped and the batch was read"),
        }
    }
}

#[test]
fn c16_what_is_cut_or_lengthened_is_poison() {
    let bytes = encode(&sound());
    for length in 0..bytes.len() {
        assert!(matches!(decode(&bytes[..length]), Decoded::Poison(_)), "{length} bytes of {}", bytes.len());
    }
    assert!(matches!(decode(&[&bytes[..], &[0]].concat()), Decoded::Poison(_)));
}

#[test]
fn c16_random_bytes_are_poison_and_no_panic() {
    for seed in 0..2_000 {
        let mut seeded = Seeded::new(seed);
        let body: Vec<u8> = (0..seeded.below(200)).map(|_| seeded.below(256) as u8).collect();
        // With a checksum that fits, so that the reader behind it is reached.
        for bytes in [headed(1, &body), body] {
            assert!(!matches!(decode(&bytes), Decoded::Batch(_)), "seed {seed}");
        }
    }
}

#[test]
fn c36_a_later_version_is_left_for_a_later_node() {
    let bytes = encode(&sound());
    for version in [2, 3, 255] {
        assert_eq!(decode(&headed(version, &bytes[7..])), Decoded::Later(version));
        assert_eq!(decode(&headed(version, b"whatever comes")), Decoded::Later(version));
    }
    assert!(matches!(decode(&headed(0, &bytes[7..])), Decoded::Poison(_)), "a version that never was");
}

/// A batch as a newer node may write it: the fields of now under their numbers, and more.
#[derive(Clone, PartialEq, prost::Message)]
struct NewerBatch {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    sale: String,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint32, tag = "4")]
    limit_per_buyer: u32,
    #[prost(message, repeated, tag = "5")]
    asks: Vec<NewerAsk>,
    #[prost(string, tag = "200")]
    region: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerAsk {
    #[prost(bytes = "vec", tag = "1")]
    digest: Vec<u8>,
    #[prost(string, tag = "2")]
    buyer: String,
    #[prost(uint32, tag = "3")]
    quantity: u32,
    #[prost(int64, tag = "4")]
    unit_price: i64,
    #[prost(string, tag = "5")]
    currency: String,
    #[prost(uint32, tag = "6")]
    pay_within_s: u32,
    #[prost(int64, tag = "7")]
    asked_at: i64,
    #[prost(double, tag = "77")]
    discount: f64,
}

fn newer(change: impl FnOnce(&mut NewerBatch)) -> Decoded {
    use prost::Message as _;
    let id = sale("message");
    let asks = buyers_of(id, 2, 1).into_iter().map(|ask| NewerAsk {
        digest: ask.digest.0.to_vec(),
        buyer: ask.buyer.to_string(),
        quantity: ask.quantity.get(),
        unit_price: ask.unit_price.minor(),
        currency: ask.currency.as_str().to_owned(),
        pay_within_s: ask.pay_within_s,
        asked_at: ask.asked_at.0,
        discount: 0.5,
    });
    let mut body = NewerBatch {
        id: BatchId { node: 7, number: 9 }.to_bytes().to_vec(),
        sale: id.to_string(),
        epoch: 3,
        limit_per_buyer: 2,
        asks: asks.collect(),
        region: "华东".to_owned(),
    };
    change(&mut body);
    decode(&headed(1, &body.encode_to_vec()))
}

#[test]
fn c36_fields_of_a_newer_node_are_skipped() {
    let id = sale("message");
    assert_eq!(newer(|_| {}), Decoded::Batch(batch(9, id, Epoch(3), buyers_of(id, 2, 1))));
}

#[test]
fn c16_a_body_with_values_that_are_none_is_poison() {
    let wrong: [(&str, Spoil<NewerBatch>); 12] = [
        ("no asks", |b| b.asks.clear()),
        ("too many asks", |b| b.asks = vec![b.asks[0].clone(); BATCH_MAX + 1]),
        ("a purchase twice", |b| b.asks.push(b.asks[0].clone())),
        ("no sale", |b| b.sale.clear()),
        ("a sale with syntax", |b| b.sale = "a}".into()),
        ("a short batch id", |b| b.id.truncate(15)),
        ("a short digest", |b| b.asks[1].digest.truncate(15)),
        ("no buyer", |b| b.asks[1].buyer.clear()),
        ("a quantity of none", |b| b.asks[1].quantity = 0),
        ("a quantity above all bounds", |b| b.asks[1].quantity = QUANTITY_MAX + 1),
        ("a price below nothing", |b| b.asks[1].unit_price = -1),
        ("no currency", |b| b.asks[1].currency.clear()),
    ];
    for (what, change) in wrong {
        assert!(matches!(newer(change), Decoded::Poison(_)), "{what}");
    }
}

#[test]
fn what_is_shown_or_logged_is_what_it_says() {
    assert_eq!(Invalid::new("c", "what is wrong").to_string(), "what is wrong");
    assert!(sale::ports::Fault::none("the disk is full").to_string().contains("the disk is full"));
    let (sale, digest) = (sale("s1"), Digest([0x1f; 16]));
    assert_eq!((format!("{sale:?}"), format!("{digest:?}")), ("s1".to_owned(), "1f".repeat(16)));
    assert_eq!((digest.hex(), format!("{:?}", OrderId { sale, digest })), ("1f".repeat(16), format!("s1-{}", "1f".repeat(16))));
    let currency: Currency = "CNY".parse().expect("a currency");
    assert_eq!((currency.to_string(), format!("{currency:?}")), ("CNY".to_owned(), "CNY".to_owned()));
    assert_eq!("m-1".parse::<MovementKey>().expect("a key").as_str(), "m-1");
    assert_eq!(BatchId { node: 10, number: 3 }.to_string(), "000000000000000a-3");
    for status in SaleStatus::ALL {
        assert_eq!(SaleStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(SaleStatus::parse("opened"), None);
    let names: Vec<&str> = sale::books::Law::ALL.iter().map(|law| law.as_str()).collect();
    assert_eq!(names, ["L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11"]);
    let says: BTreeSet<&str> = sale::books::Law::ALL.iter().map(|law| law.says()).collect();
    assert!(says.len() == 11 && says.iter().all(|text| text.len() > 10), "{says:?}");
}

#[test]
fn settings_that_contradict_themselves_are_named() {
    use sale::purchase::Settings;
    let check = |key: &str, fits: &dyn Fn(&mut Settings), not: &dyn Fn(&mut Settings)| {
        let (mut good, mut bad) = (Settings::default(), Settings::default());
        fits(&mut good);
        not(&mut bad);
        assert_eq!(good.faults(), [], "{key}: the last value that fits");
        assert_eq!(bad.faults().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key], "the first that does not");
    };
    check("hold_age_ms", &|s| s.hold_age_ms = 1, &|s| s.hold_age_ms = 0);
    let least = Settings::default().hold_age_ms + Settings::default().check_after_ms;
    check("stuck_ms", &|s| s.stuck_ms = least + 1, &|s| s.stuck_ms = least);
    check("lease_ms", &|s| s.lease_ms = 1_000, &|s| s.lease_ms = 999);
    check("fact_ms", &|s| s.fact_ms = 60_000, &|s| s.fact_ms = 60_001);
    check("fact_ms", &|s| s.fact_ms = 100, &|s| s.fact_ms = 99);
    check("batch_max", &|s| s.batch_max = 512, &|s| s.batch_max = 0);
    check("gather_us", &|s| s.gather_us = 100_000, &|s| s.gather_us = 100_001);
    check("tries_max", &|s| s.tries_max = 1, &|s| s.tries_max = 0);
    check("merge_max", &|s| s.merge_max = s.batch_max, &|s| s.merge_max = s.batch_max - 1);
    check("asks_max", &|s| s.asks_max = 1, &|s| s.asks_max = 0);
    check("deliveries_max", &|s| s.deliveries_max = 1, &|s| s.deliveries_max = 0);
    check("page_max", &|s| s.page_max = 100_000, &|s| s.page_max = 0);
}
