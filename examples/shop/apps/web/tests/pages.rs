//! Every page over a real socket, without a browser: what it shows and refuses, and what nobody gets through it.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/events.rs"]
mod events;
#[path = "../../../node/tests/support/http.rs"]
mod http;
#[path = "../../../node/tests/support/shop.rs"]
mod shop;
#[path = "support/visitor.rs"]
mod visitor;

use events::Events;
use http::{Client, Response};
use linden::SupervisorRef;
use shop::Shop;
use visitor::{Visitor, key, location};

/// A page with this status and these words, which says what browsers may do with it.
#[track_caller]
fn check_page(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"), "{response:?}");
    assert!(response.body.contains(words), "{words:?} is not in {}", response.body);
    assert!(response.body.contains("<html lang=\"en\">") && response.body.contains("<h1>"));
    let policy = response.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe") && !response.body.contains(" style=\""), "{response:?}");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("referrer-policy"), Some("same-origin"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

// proves: GATE-74
#[test]
fn a_visitor_registers_and_logs_in_and_out() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::new(shop.address);
    check_page(&ada.get("/shop/register"), 200, "At least 8 characters");
    let fields = [("name", "Ada"), ("password", "correct horse")];
    let registered = ada.send("/shop/register", &fields);
    assert_eq!(location(&registered), "/shop");
    let cookie = registered.header("set-cookie").unwrap();
    assert!(cookie.starts_with("shop=") && cookie.contains("; HttpOnly; SameSite=Lax; Path=/"));
    let page = ada.get("/shop");
    check_page(&page, 200, "Log out");
    assert!(page.body.contains(">ada<"), "{}", page.body);

    let stolen = ada.cookie.clone();
    let out = ada.send("/shop/logout", &[]);
    assert_eq!(location(&out), "/shop");
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(ada.get("/shop").body.contains("Log in"));
    ada.cookie = stolen;
    assert_eq!(location(&ada.get("/shop/orders")), "/shop/login?next=/shop/orders");
    assert_eq!(ada.cookie, "", "the browser is told to forget what is no session");

    let back = [("name", "ada"), ("password", "correct horse"), ("next", "/shop/orders?after=9")];
    assert_eq!(location(&ada.send("/shop/login", &back)), "/shop/orders?after=9");
    shop.stop();
}

#[test]
fn over_tls_the_cookie_goes_over_tls_only() {
    let shop = Shop::boot(&[]);
    Visitor::registered(shop.address, "ada");
    let mut ada = Visitor::new(shop.address);
    let fields = [("name", "ada"), ("password", "correct horse")];
    let response = ada.send_from("/shop/login", &fields, &[("origin", "https://shop")]);
    let cookie = response.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-shop=") && cookie.contains("; Secure"), "{cookie}");
    check_page(&ada.get("/shop/orders"), 200, "Your orders");
    let out = ada.send("/shop/logout", &[]);
    assert!(out.header("set-cookie").unwrap().starts_with("__Host-shop=; HttpOnly"));
    shop.stop();
}

// proves: GATE-72
#[test]
fn nobody_is_sent_to_another_site() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    for next in ["https://evil.example", "//evil.example", "/\\evil.example", "/shop//evil", ""] {
        let fields = [("name", "ada"), ("password", "correct horse"), ("next", next)];
        assert_eq!(location(&ada.send("/shop/login", &fields)), "/shop", "{next:?}");
    }
    shop.stop();
}

#[test]
fn a_form_says_what_is_wrong_beside_its_field() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let mut refused = |path: &str, fields: &[(&str, &str)], words: &str| {
        let page = ada.send(path, fields);
        check_page(&page, 422, words);
        page.body
    };
    let name = |name| [("name", name), ("password", "correct horse")];
    let page = refused("/shop/register", &name("ada"), "The name ada is taken.");
    assert!(page.contains(r#"id="name-mistake""#) && page.contains(r#"value="ada""#), "{page}");
    let page = refused("/shop/register", &name("\"><script>"), "A user name is made of");
    assert!(!page.contains("<script>"), "{page}");
    let short = [("name", "bob"), ("password", "short")];
    let page = refused("/shop/register", &short, "A password has at least 8 characters.");
    assert!(page.contains(r#"id="password-mistake""#) && !page.contains("short"), "{page}");
    let wrong = [("name", "ada"), ("password", "wrong horse")];
    refused("/shop/login", &wrong, "The name or the password is wrong.");
    refused("/shop/login", &name("no name"), "The name or the password is wrong.");
    refused("/shop/register", &[], "A user name has 3 to 32");

    let pay = |amount| [("key", "k"), ("amount", amount), ("currency", "EUR")];
    for amount in ["", "x", "1.234", "1e3"] {
        let page = refused("/shop/pay", &pay(amount), "Enter an amount such as 12.34.");
        assert!(page.contains(r#"aria-describedby="amount-mistake""#), "{page}");
    }
    refused("/shop/pay", &pay("-1"), "Enter more than zero.");
    let unknown = [("key", "k"), ("amount", "1"), ("currency", "<b>")];
    refused("/shop/pay", &unknown, "is no currency of the ledger");
    refused("/shop/pay", &[("amount", "1"), ("currency", "EUR")], "Send it again.");
    refused("/shop", &[("key", "k")], "at least one item");
    let page = refused("/shop", &[("key", "k"), ("quantity-lamp-oil", "two")], "a whole number");
    assert!(page.contains(r#"id="mistake-lamp-oil""#) && page.contains(r#"value="two""#));
    shop.stop();
}

#[test]
fn too_many_guesses_are_a_page_that_says_when_to_try_again() {
    let limits = "{ log_ins_per_account = { burst = 1, every = '1h' } }";
    let shop = Shop::boot(&[("auth", "attempts", limits)]);
    let mut eve = Visitor::new(shop.address);
    let wrong = [("name", "ada"), ("password", "wrong horse")];
    check_page(&eve.send("/shop/login", &wrong), 422, "is wrong");
    let page = eve.send("/shop/login", &wrong);
    check_page(&page, 429, "Too many attempts");
    let secs: u64 = page.header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&secs), "{secs}");
    shop.stop();
}

// proves: GATE-70
#[test]
fn what_another_site_sends_changes_nothing() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let key = key(&ada.get("/shop/pay"));
    let fields = [("key", &*key), ("amount", "5"), ("currency", "EUR")];
    for origin in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ] {
        check_page(&ada.send_from("/shop/pay", &fields, origin), 403, "was not sent by a page");
        check_page(&ada.send_from("/shop/logout", &[], origin), 403, "That was refused");
    }
    check_page(&ada.get("/shop/pay"), 200, "0.00 EUR");
    let paid = ada.send_from("/shop/pay", &fields, &[("origin", "http://shop")]);
    assert_eq!(location(&paid), "/shop/pay?paid=1");
    shop.stop();
}

#[test]
fn a_form_that_is_sent_twice_pays_once() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let key = key(&ada.get("/shop/pay"));
    let fields = [("key", &*key), ("amount", "12,34"), ("currency", "EUR")];
    let first = location(&ada.send("/shop/pay", &fields));
    assert_eq!(location(&ada.send("/shop/pay", &fields)), first, "a double click");
    for _reload in 0..2 {
        let page = ada.get(&first);
        check_page(&page, 200, "12.34 EUR is paid: receipt 1");
        assert!(page.body.contains(r#"<p class="amount">12.34 EUR</p>"#), "{}", page.body);
    }
    let other = [("key", &*key), ("amount", "5"), ("currency", "EUR")];
    let page = ada.send("/shop/pay", &other);
    check_page(&page, 422, "has paid another amount before");
    assert_ne!(visitor::key(&page), key, "the next one is another payment");

    let mut bob = Visitor::registered(shop.address, "bob");
    assert!(!bob.get(&first).body.contains("is paid"), "a receipt is its user's");
    shop.stop();
}

#[test]
fn an_order_is_placed_once_and_followed_live() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let path = "/shop/orders/updates";
    let mut events = Events::open_with(shop.address, path, "cookie", &ada.cookie);
    assert_eq!(events.next().0, "open");
    let page = ada.get("/shop");
    check_page(&page, 200, "Linden blossom tea, 100 g");
    let key = key(&page);
    let fields = [("key", &*key), ("quantity-tea-linden", "2"), ("quantity-lamp-oil", "0")];
    let order = location(&ada.send("/shop", &fields));
    assert_eq!(order, "/shop/orders/1");
    assert_eq!(location(&ada.send("/shop", &fields)), order, "a double click");
    while !events.next().1.contains("completed") {}

    let page = ada.get(&order);
    check_page(&page, 200, "On its way to you");
    for words in ["Linden blossom tea, 100 g", "15.80 EUR", "badge good"] {
        assert!(page.body.contains(words), "{words} is not in {}", page.body);
    }
    assert!(!page.body.contains("data-events") && !page.body.contains("http-equiv"), "it is over");
    check_page(&ada.get("/shop/orders"), 200, "Order 1</a>");
    check_page(&ada.get("/shop/inbox"), 200, r#"href="/shop/orders/1""#);
    check_page(&ada.get("/shop/statement"), 200, "15.80 EUR");
    assert_eq!(location(&ada.send("/shop/orders/1/cancel", &[])), order, "it is too late");
    let other = [("key", &*key), ("quantity-tea-linden", "1")];
    check_page(&ada.send("/shop", &other), 422, "has placed another order before");

    let mut bob = Visitor::registered(shop.address, "bob");
    check_page(&bob.get(&order), 404, "There is nothing here");
    shop.stop();
}

#[test]
fn an_order_that_cannot_be_is_told_why() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let mut events = Events::open_with(shop.address, "/shop/orders/updates", "cookie", &ada.cookie);
    assert_eq!(events.next().0, "open");
    let key = key(&ada.get("/shop"));
    let order = location(&ada.send("/shop", &[("key", &key), ("quantity-bench-garden", "999")]));
    while !events.next().1.contains("rejected") {}
    let page = ada.get(&order);
    check_page(&page, 200, "There is not enough of bench-garden.");
    assert!(page.body.contains("badge bad"), "{}", page.body);
    shop.stop();
}

#[test]
fn lists_are_read_in_pages() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    check_page(&ada.get("/shop/statement"), 200, "There is nothing");
    check_page(&ada.get("/shop/inbox"), 200, "No messages");
    check_page(&ada.get("/shop/orders"), 200, "You have not ordered anything yet.");
    for number in 0..25 {
        let key = format!("key-{number}");
        let fields = [("key", &*key), ("amount", "0.50"), ("currency", "USD")];
        location(&ada.send("/shop/pay", &fields));
    }
    let newest = ada.get("/shop/statement");
    assert_eq!(newest.body.matches("0.50 USD").count(), 20);
    check_page(&newest, 200, "/shop/statement?after=6");
    let oldest = ada.get("/shop/statement?after=6");
    assert_eq!(oldest.body.matches("0.50 USD").count(), 5);
    assert!(!oldest.body.contains("?after=") && oldest.body.contains(">Newest<"));
    let second = "/shop?after=rope-hemp";
    check_page(&ada.get(second), 200, "Linden blossom tea");
    let refused = ada.send(second, &[("key", "k"), ("quantity-tea-linden", "two")]);
    check_page(&refused, 422, "Linden blossom tea");
    assert!(refused.body.contains(r#"value="two""#), "{}", refused.body);
    assert!(refused.body.contains(r#"action="/shop?after=rope-hemp""#), "{}", refused.body);
    shop.stop();
}

#[test]
fn names_that_are_markup_are_shown_as_text() {
    let hostile = "<script>alert(1)</script>";
    let item = format!(
        "[{{ sku = 'x', name = \"{hostile}\", stock = 5, price = {{ cents = 1, currency = 'EUR' }} }}]"
    );
    let shop = Shop::boot(&[("catalog", "items", &item)]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let safe = "&#60;script&#62;alert(1)&#60;/script&#62;";
    let page = ada.get("/shop");
    check_page(&page, 200, safe);
    let order = location(&ada.send("/shop", &[("key", &key(&page)), ("quantity-x", "1")]));
    let file = format!("{hostile},\"v\"\n\"{hostile}\",1\nb,no number\n");
    let columns = [("key", hostile), ("value", "v")];
    let job = location(&ada.upload(&columns, "<b>.csv", &file));
    for path in [order, job.clone(), "/shop/files".to_owned()] {
        let page = ada.get(&path);
        check_page(&page, 200, safe);
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
    }
    let plot = ada.get(&format!("{job}/plot.svg"));
    assert!(!plot.body.contains("<script>") && plot.header("content-security-policy").is_some());
    check_page(&ada.get("/shop/nothing%3Cscript%3Ealert(1)"), 404, "There is nothing here");
    shop.stop();
}

#[test]
fn a_file_becomes_a_plot_and_a_table() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    check_page(&ada.get("/shop/files"), 200, "No file was sent yet.");
    let csv = "region,amount\nnorth,0.10\nnorth,0.20\nsouth,7\nsouth,x\n";
    let columns = [("key", "region"), ("value", "amount")];
    let job = location(&ada.upload(&columns, "sales.csv", csv));
    let page = ada.get(&job);
    check_page(&page, 200, "amount by region");
    for words in ["north", "0.15", "Line 5", "/plot.svg?measure=sum", "badge good"] {
        assert!(page.body.contains(words), "{words} is not in {}", page.body);
    }
    check_page(&ada.get(&format!("{job}?measure=mean")), 200, "/plot.svg?measure=mean");
    let plot = ada.get(&format!("{job}/plot.svg?measure=mean"));
    assert_eq!(plot.header("content-type"), Some("image/svg+xml"));
    assert!(plot.body.contains(">mean by key</title>"), "{}", plot.body);
    let csv = ada.get(&format!("{job}/report.csv"));
    assert!(csv.body.starts_with("key,count,sum") && csv.body.contains("north,2,0.3"));
    assert!(csv.header("content-disposition").unwrap().starts_with("attachment"));
    check_page(&ada.get("/shop/files"), 200, "amount by region");
    assert_eq!(location(&ada.send(&format!("{job}/cancel"), &[])), job, "it has ended");

    let windows = [("key", "k"), ("value", "v"), ("time", "t"), ("window", "1h")];
    let lines = "{\"t\":\"2013-01-01T10:20:00Z\",\"k\":\"a\",\"v\":1}\n";
    let job = location(&ada.upload(&windows, "x.ndjson", lines));
    check_page(&ada.get(&job), 200, "2013-01-01T10:00:00Z");

    let mut bob = Visitor::registered(shop.address, "bob");
    for path in [job.clone(), format!("{job}/plot.svg"), format!("{job}/report.csv")] {
        check_page(&bob.get(&path), 404, "There is nothing here");
    }
    check_page(&bob.send(&format!("{job}/cancel"), &[]), 404, "There is nothing here");
    shop.stop();
}

#[test]
fn a_file_that_cannot_be_used_is_told_why() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    // More than a browser sends before it looks for an answer.
    let long = format!("region,amount\n{}", "north,1\n".repeat(100_000));
    let columns = [("key", "region"), ("value", "price")];
    let job = location(&ada.upload(&columns, "sales.csv", &long));
    check_page(&ada.get(&job), 200, "has no column &#34;price&#34;");
    let no_key = [("key", ""), ("value", "amount")];
    let page = ada.upload(&no_key, "sales.csv", &long);
    check_page(&page, 422, "Name the column to group by.");
    assert!(page.body.contains(r#"value="amount""#), "{}", page.body);
    let no_window = [("key", "region"), ("value", "amount"), ("time", "t")];
    check_page(&ada.upload(&no_window, "sales.csv", "x"), 422, "needs a window");
    check_page(&ada.upload(&columns, "", ""), 422, "Choose a file.");
    let endless = "x".repeat(2_000);
    let too_long = [("key", &*endless), ("value", "v")];
    check_page(&ada.upload(&too_long, "sales.csv", "x"), 400, "exceeded");
    check_page(&ada.send("/shop/files", &[]), 400, "That did not work");
    shop.stop();
}

// proves: GATE-73
#[test]
fn an_error_of_a_page_is_a_page() {
    let shop = Shop::boot(&[]);
    let mut ada = Visitor::registered(shop.address, "ada");
    check_page(&ada.get("/nothing"), 404, "There is nothing here");
    check_page(&ada.get("/shop/nothing"), 404, "There is nothing here");
    check_page(&ada.get("/shop/orders/7"), 404, "Log out");
    check_page(&ada.get("/shop/orders/seven"), 400, "That did not work");
    check_page(&ada.get("/shop/logout"), 405, "That did not work");
    let api = Client::connect(shop.address).get("/nothing", &[]);
    assert_eq!(api.json()["error"], "no such route; see /");

    let supervisor = SupervisorRef::by_name(&shop.node, "billing_front_sup");
    shop.node.block_on(supervisor.terminate_child("billing_service")).unwrap();
    let page = ada.get("/shop/pay");
    check_page(&page, 503, "The shop is busy");
    assert_eq!(page.header("retry-after"), Some("1"));
    assert!(page.body.contains(r#"http-equiv="refresh" content="1; url=/shop/pay""#));
    check_page(&ada.get("/shop"), 200, "What we sell");
    let fields = [("key", "k"), ("amount", "5"), ("currency", "EUR")];
    check_page(&ada.send("/shop/pay", &fields), 503, "Nothing is lost");
    shop.node.block_on(supervisor.restart_child("billing_service")).unwrap();
    assert_eq!(location(&ada.send("/shop/pay", &fields)), "/shop/pay?paid=1");
    shop.stop();
}

// proves: GATE-71
#[test]
fn guests_see_what_is_sold_and_are_asked_to_log_in_for_the_rest() {
    let shop = Shop::boot(&[]);
    let mut guest = Visitor::new(shop.address);
    check_page(&guest.get("/"), 200, "Idempotency-Key: KEY");
    check_page(&guest.get("/"), 200, "href=\"/openapi.json\"");
    check_page(&guest.get("/shop"), 200, "Log in to order.");
    for path in ["/shop/orders", "/shop/pay", "/shop/statement", "/shop/inbox", "/shop/files"] {
        assert_eq!(location(&guest.get(path)), format!("/shop/login?next={path}"));
    }
    assert_eq!(location(&guest.send("/shop/pay", &[])), "/shop/login");
    for cookie in ["shop=", "shop=x:y:ada", "shop=..:..:ada", "shop=a", "__Host-shop=a:b:ada"] {
        guest.cookie = cookie.to_owned();
        assert_eq!(location(&guest.get("/shop/pay")), "/shop/login?next=/shop/pay", "{cookie}");
    }
    shop.stop();
}

#[test]
fn a_session_whose_token_is_over_goes_on_for_every_page_of_the_browser() {
    let shop = Shop::boot(&[("auth", "access_ttl", "0s")]);
    let mut ada = Visitor::registered(shop.address, "ada");
    let first = ada.cookie.clone();
    for _page_that_was_asked_for_at_once in 0..3 {
        ada.cookie = first.clone();
        check_page(&ada.get("/shop/orders"), 200, "Log out");
        assert_ne!(ada.cookie, first, "the browser gets the next tokens");
    }
    check_page(&ada.get("/shop/orders"), 200, "Log out");
    shop.stop();
}

#[test]
fn assets_are_small_and_kept_by_browsers() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let page = client.get("/", &[]).body;
    let mut bytes = 0;
    for name in ["shop.css", "shop.js", "icon.svg"] {
        let (_, rest) = page.split_once(&format!("/shop/assets/{name}?v=")).unwrap();
        let path = format!("/shop/assets/{name}?v={}", rest.split('"').next().unwrap());
        let asset = client.get(&path, &[]);
        assert_eq!(asset.status, 200);
        assert!(asset.header("cache-control").unwrap().contains("immutable"));
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
        bytes += asset.body.len();
        let etag = asset.header("etag").unwrap();
        let again = client.get(&path, &[("if-none-match", etag)]);
        assert_eq!((again.status, again.body.as_str()), (304, ""));
    }
    assert!(bytes < 24_000, "{bytes} bytes");
    assert_eq!(client.get("/shop/assets/passwd", &[]).status, 404);
    shop.stop();
}
