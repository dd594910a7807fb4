//! The pages in headless Chromium: a customer's whole visit, live, without scripts, in the dark and on a phone.
//!
//! Pictures lie below `target/browser`. No visit may leave an error in the console, a failed request, or a violation of the
//! pages' policy. Behind the feature `browser`, since it needs Debian's packages `chromium` and `chromium-driver`.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod driver;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/shop.rs"]
mod shop;

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64ct::{Base64, Encoding as _};
use driver::{Browser, Looks, Scripts};
use serde_json::json;
use shop::Shop;
use tempfile::TempDir;

const DESK: Looks = Looks { width: 1100, height: 900, colours: "light", scripts: Scripts::On };
const PHONE: Looks = Looks { width: 390, height: 844, colours: "dark", scripts: Scripts::On };
const PLAIN: Looks = Looks { scripts: Scripts::Off, ..DESK };

/// Somebody who visits the shop.
struct Visit {
    browser: Browser,
    pictures: PathBuf,
    directory: TempDir,
}

impl Visit {
    fn begin(shop: &Shop, name: &str, looks: Looks) -> Visit {
        let directory = tempfile::tempdir().unwrap();
        let browser = Browser::start(shop.address, &directory.path().join("profile"), looks);
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../browser").join(name);
        fs::create_dir_all(&pictures).unwrap();
        Visit { browser, pictures, directory }
    }

    fn picture(&mut self, name: &str) {
        let png = Base64::decode_vec(&self.browser.picture()).unwrap();
        fs::write(self.pictures.join(name).with_extension("png"), png).unwrap();
        let is_wide = self.browser.run("return document.documentElement.scrollWidth > innerWidth");
        assert_eq!(is_wide, json!(false), "{name} is wider than the screen");
    }

    fn register(&mut self, name: &str) {
        let Visit { browser, .. } = self;
        browser.open("/shop/register");
        browser.fill("#name", name);
        browser.fill("#password", "correct horse");
        browser.click("main button");
        browser.wait_for("h1", "What we sell");
    }

    fn order(&mut self) {
        let Visit { browser, .. } = self;
        browser.open("/shop");
        browser.fill("#quantity-tea-linden", "2");
        browser.click(".order-bar button");
        browser.wait_for("h1", "Order ");
    }

    fn pay(&mut self) {
        let Visit { browser, .. } = self;
        browser.open("/shop/pay");
        browser.fill("#amount", "12.34");
        browser.click("main button");
        browser.wait_for(".success", "12.34 EUR is paid");
    }

    fn upload(&mut self) {
        let regions = ["north", "south", "east", "west"];
        let rows =
            (0..400).map(|row| format!("{},{}.5\n", regions[row % 4], row % 7 + row % 4 * 9));
        let file = self.directory.path().join("sales.csv");
        fs::write(&file, format!("region,amount\n{}", rows.collect::<String>())).unwrap();
        let Visit { browser, .. } = self;
        browser.open("/shop/files");
        browser.fill("#key", "region");
        browser.fill("#value", "amount");
        browser.fill("#file", file.to_str().unwrap());
        browser.click("#upload button");
        browser.wait_for("h1", "amount by region");
        browser.wait_for("td", "100");
        let drawn = "const plot = document.querySelector('.plot img');\
             return plot.complete && plot.naturalWidth > 0";
        browser.wait_until(drawn);
    }

    /// Nothing went wrong that a browser tells of.
    fn end(mut self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

#[test]
fn a_customer_orders_pays_and_uploads_a_file_live() {
    let shop = Shop::boot(&[]);
    let mut visit = Visit::begin(&shop, "desk", DESK);
    visit.browser.open("/");
    visit.picture("1-welcome");
    visit.register("ada");
    visit.picture("2-items");
    visit.order();
    visit.browser.wait_for(".badge", "On its way");
    visit.picture("3-order");
    visit.pay();
    visit.picture("4-pay");
    visit.browser.open("/shop/statement");
    visit.browser.wait_for("td", "15.80 EUR");
    visit.picture("5-statement");
    visit.upload();
    visit.picture("6-plot");
    visit.browser.open("/shop/inbox");
    visit.picture("7-inbox");
    visit.browser.open("/shop/orders");
    visit.picture("8-orders");
    visit.browser.open("/shop/files");
    visit.picture("9-files");
    visit.browser.click(".visitor button");
    visit.browser.wait_for(".visitor", "Log in");
    visit.end();
    shop.stop();
}

#[test]
fn an_open_page_follows_its_orders_without_being_loaded_again() {
    let shop = Shop::boot(&[]);
    let supervisor = linden::SupervisorRef::by_name(&shop.node, "billing_front_sup");
    let mut visit = Visit::begin(&shop, "live", DESK);
    visit.register("ada");
    // The order waits for its payment until billing is back.
    shop.node.block_on(supervisor.terminate_child("billing_service")).unwrap();
    visit.order();
    visit.browser.wait_for(".badge", "Reserved");
    // A page that is loaded again would not know this any more.
    visit.browser.run("window.isTheSamePage = true");
    visit.picture("1-reserved");
    shop.node.block_on(supervisor.restart_child("billing_service")).unwrap();
    visit.browser.wait_for(".badge", "On its way");
    assert_eq!(visit.browser.run("return window.isTheSamePage === true"), json!(true));
    visit.end();
    shop.stop();
}

#[test]
fn without_scripts_the_shop_works_as_well() {
    let shop = Shop::boot(&[]);
    let mut visit = Visit::begin(&shop, "plain", PLAIN);
    visit.register("ada");
    visit.order();
    visit.browser.wait_for(".badge", "On its way");
    visit.pay();
    visit.upload();
    visit.picture("1-plot");
    visit.browser.click(".visitor button");
    visit.browser.wait_for(".visitor", "Log in");
    visit.end();
    shop.stop();
}

#[test]
fn in_the_dark_and_on_a_phone_every_page_fits() {
    let shop = Shop::boot(&[]);
    let mut visit = Visit::begin(&shop, "phone", PHONE);
    visit.browser.open("/");
    visit.picture("1-welcome");
    visit.register("ada");
    visit.picture("2-items");
    visit.order();
    visit.browser.wait_for(".badge", "On its way");
    visit.picture("3-order");
    visit.pay();
    visit.picture("4-pay");
    visit.upload();
    visit.picture("5-plot");
    visit.browser.open("/shop/files");
    visit.picture("6-files");
    visit.end();
    shop.stop();
}
