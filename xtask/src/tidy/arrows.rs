//! Dependencies between our crates point one way. The table below is the design; a new arrow is a change of it.
//!
//! What a crate's users get (normal and build dependencies) and what only its tests get (dev-dependencies) are
//! allowed apart. A test may use whatever the crate itself may. Crates from outside are not looked at.

use super::Finding;
use super::tree::{Edge, EdgeKind, Tree};

const TABLE_FILE: &str = "xtask/src/tidy/arrows.rs";

/// What one crate may depend on.
struct Row {
    from: &'static str,
    normal: &'static [&'static str],
    /// For its tests, besides those above.
    dev: &'static [&'static str],
}

const TABLE: &[Row] = &[
    // Its own tests switch the simulator on by depending on it.
    Row { from: "linden-core", normal: &[], dev: &["linden-core"] },
    Row { from: "linden-macros", normal: &[], dev: &["linden"] },
    Row { from: "linden", normal: &["linden-core", "linden-macros"], dev: &["linden-core"] },
    Row { from: "linden-gateway", normal: &["linden"], dev: &[] },
    Row { from: "shop-chaos", normal: &["linden"], dev: &[] },
    Row { from: "shop-auth", normal: &["linden", "shop-chaos", "shop-storage"], dev: &[] },
    // A payment names the account that `auth` keeps.
    Row { from: "shop-billing", normal: &["linden", "shop-auth", "shop-storage"], dev: &[] },
    Row { from: "shop-data-processing", normal: &["linden", "shop-chaos"], dev: &[] },
    Row { from: "shop-storage", normal: &["linden"], dev: &[] },
    // Prices are billing's money.
    Row {
        from: "shop-catalog",
        normal: &["linden", "shop-billing", "shop-chaos", "shop-storage"],
        dev: &[],
    },
    // A notice names an order as the catalog does, and a user as billing does.
    Row {
        from: "shop-notifications",
        normal: &["linden", "shop-billing", "shop-catalog", "shop-chaos", "shop-storage"],
        dev: &[],
    },
    // An order is reserved, paid and told: the one service that drives its siblings.
    Row {
        from: "shop-orders",
        normal: &[
            "linden",
            "shop-billing",
            "shop-catalog",
            "shop-chaos",
            "shop-notifications",
            "shop-storage",
        ],
        dev: &[],
    },
    Row {
        from: "shop-web",
        normal: &[
            "linden",
            "linden-gateway",
            "shop-auth",
            "shop-billing",
            "shop-catalog",
            "shop-chaos",
            "shop-data-processing",
            "shop-notifications",
            "shop-orders",
        ],
        dev: &[],
    },
    Row {
        from: "shop",
        normal: &[
            "linden",
            "linden-gateway",
            "shop-auth",
            "shop-billing",
            "shop-catalog",
            "shop-data-processing",
            "shop-notifications",
            "shop-orders",
            "shop-storage",
            "shop-web",
        ],
        dev: &[],
    },
    Row { from: "linden-benches", normal: &["linden", "linden-core", "linden-gateway"], dev: &[] },
    Row { from: "xtask", normal: &[], dev: &[] },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let rowless = tree.members.iter().filter(|member| row(&member.name).is_none()).map(|member| {
        let text = format!(
            "the crate {} has no row in {TABLE_FILE}: say what it may depend on",
            member.name
        );
        Finding::file(&member.manifest, text)
    });
    let refused = tree.edges.iter().filter(|edge| !allowed(edge)).map(|edge| {
        let manifest = tree.members.iter().find(|member| member.name == edge.from);
        Finding::file(manifest.map_or("Cargo.toml", |member| &member.manifest), refusal(edge))
    });
    rowless.chain(refused).collect()
}

fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.from == name)
}

fn allowed(edge: &Edge) -> bool {
    let Some(row) = row(&edge.from) else {
        // The missing row is the finding.
        return true;
    };
    let to = edge.to.as_str();
    row.normal.contains(&to) || edge.kind == EdgeKind::Dev && row.dev.contains(&to)
}

fn refusal(edge: &Edge) -> String {
    let Edge { from, to, kind } = edge;
    let (table, column) = match kind {
        EdgeKind::Normal => ("dependencies", "normal"),
        EdgeKind::Dev => ("dev-dependencies", "dev"),
    };
    let may: Vec<&str> = row(from).map(|row| row.normal.to_vec()).unwrap_or_default();
    let may = if may.is_empty() { "none of our crates".to_owned() } else { may.join(", ") };
    format!(
        "the arrow {from} -> {to} ({table}) is not in the design: {from} may depend on {may}. Take it out, or make it \
         a decision: a commit of its own that adds it to the column `{column}` of {TABLE_FILE} and to ARCHITECTURE.md, \
         with the reason"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tree::Member;
    use super::*;

    fn found(edges: &[(&str, &str, EdgeKind)]) -> Vec<String> {
        let edges: Vec<Edge> = edges
            .iter()
            .map(|(from, to, kind)| Edge {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                kind: *kind,
            })
            .collect();
        let member = |edge: &Edge| Member {
            name: edge.from.clone(),
            manifest: format!("crates/{}/Cargo.toml", edge.from),
        };
        let tree = Tree { members: edges.iter().map(member).collect(), edges, ..Tree::default() };
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn new_arrow_is_found_and_names_the_mend() {
        let found = found(&[("linden-core", "linden", EdgeKind::Normal)]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/linden-core/Cargo.toml: the arrow linden-core -> linden"),
            "{found:?}"
        );
        assert!(found[0].contains(TABLE_FILE), "{found:?}");
    }

    #[test]
    fn arrow_of_tests_is_no_arrow_of_users() {
        assert_eq!(found(&[("linden-macros", "linden", EdgeKind::Dev)]), [""; 0]);
        assert_eq!(found(&[("linden-macros", "linden", EdgeKind::Normal)]).len(), 1);
        assert_eq!(found(&[("shop-auth", "shop-billing", EdgeKind::Dev)]).len(), 1);
    }

    #[test]
    fn tests_may_use_what_the_crate_may() {
        assert_eq!(found(&[("shop-web", "linden-gateway", EdgeKind::Dev)]), [""; 0]);
    }

    #[test]
    fn crate_without_a_row_is_found() {
        let found = found(&[("linden-tables", "linden", EdgeKind::Normal)]);
        assert!(found.len() == 1 && found[0].contains("has no row"), "{found:?}");
    }

    #[test]
    fn table_has_no_circle() {
        // Kahn: take away crates without arrows until none is left.
        let mut left: Vec<&Row> = TABLE.iter().collect();
        while !left.is_empty() {
            let names: Vec<&str> = left.iter().map(|row| row.from).collect();
            let before = left.len();
            left.retain(|row| row.normal.iter().any(|to| names.contains(to)));
            assert!(left.len() < before, "a circle among {names:?}");
        }
    }

    #[test]
    fn table_names_only_crates_that_have_a_row() {
        for to in TABLE.iter().flat_map(|row| row.normal.iter().chain(row.dev)) {
            assert!(row(to).is_some(), "{to}");
        }
    }
}
