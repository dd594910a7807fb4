//! What `shop` understands on its command line.
//!
//! Parsing alone: nothing here opens a file or a socket. A flag that is not given is `None`, so that
//! the configuration file may decide; flags win over the file.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use shop_data_processing::{Delimiter, Selection};

/// The shop: accounts, payments and CSV aggregation as applications of one Linden node.
#[derive(Debug, Parser)]
#[command(name = "shop", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  shop                                      serve on 127.0.0.1:4000, with data in ./data
  shop --listen 127.0.0.1:0 --data shop-2   serve on a free port, with data of its own
  shop ingest sales.csv --key region --value amount
")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

impl Cli {
    /// The command that was given; `run` when there was none.
    pub(crate) fn chosen(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT (this is the default command)
    Run(RunArgs),
    /// Aggregate a CSV file and print the result
    Ingest(IngestArgs),
}

/// Flags of `shop run`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunArgs {
    /// Serve HTTP on this address; port 0 takes a free one [default: web.listen of the
    /// configuration]
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Read this configuration [default: linden.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Keep databases and keys in this directory [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Flags of `shop ingest`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngestArgs {
    /// The CSV file; its first line names the columns
    pub(crate) file: PathBuf,

    /// Group the rows by this column
    #[arg(long, value_name = "COL")]
    pub(crate) key: String,

    /// Count, sum up and compare the values of this column
    #[arg(long, value_name = "COL")]
    pub(crate) value: String,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// The character between two fields; \t for a tab
    #[arg(long, value_name = "CHAR", default_value = ",")]
    pub(crate) delimiter: Delimiter,
}

impl IngestArgs {
    /// The columns asked for.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            delimiter: self.delimiter,
            ..Selection::new(self.key.as_str(), self.value.as_str())
        }
    }
}

/// An address and port. Of names only `localhost` is known: others would have to be looked up.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port_here = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    match port_here {
        Some(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text
            .parse()
            .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8080".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, error::ErrorKind};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("shop").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(Cli::chosen)
    }

    fn run(line: &str) -> RunArgs {
        match parse(line).unwrap() {
            Command::Run(args) => args,
            other => panic!("not run: {other:?}"),
        }
    }

    fn ingest(line: &str) -> IngestArgs {
        match parse(line).unwrap() {
            Command::Ingest(args) => args,
            other => panic!("not ingest: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_command() {
        assert_eq!(run(""), RunArgs::default());
        assert_eq!(run("run"), RunArgs::default());
        let flags = "--listen 127.0.0.1:0 --config etc/shop.toml --data /var/shop";
        let expected = RunArgs {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            config: Some("etc/shop.toml".into()),
            data: Some("/var/shop".into()),
        };
        assert_eq!(run(flags), expected);
        assert_eq!(run(&format!("run {flags}")), expected);
    }

    #[test]
    fn listen_takes_an_address_and_a_port() {
        for (text, expected) in [
            ("0.0.0.0:80", Some("0.0.0.0:80")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("localhost:8080", Some("127.0.0.1:8080")),
            ("localhost", None),
            ("localhost:http", None),
            ("8080", None),
            (":8080", None),
            ("example.org:80", None),
            ("127.0.0.1:65536", None),
        ] {
            let listen = parse(&format!("--listen {text}")).ok().map(|command| match command {
                Command::Run(args) => args.listen.unwrap().to_string(),
                other => panic!("not run: {other:?}"),
            });
            assert_eq!(listen.as_deref(), expected, "{text}");
        }
        let error = parse("--listen 8080").unwrap_err().to_string();
        assert!(error.contains("such as 127.0.0.1:8080"), "{error}");
    }

    #[test]
    fn ingest_takes_a_file_and_two_columns() {
        let args = ingest("ingest sales.csv --key region --value amount");
        assert_eq!((args.file.to_str(), args.json), (Some("sales.csv"), false));
        assert_eq!(args.selection(), Selection::new("region", "amount"));

        let args = ingest("ingest --json --delimiter ; --value amount --key region sales.csv");
        assert!(args.json);
        assert_eq!(args.selection().delimiter.byte(), b';');
        let args = ingest("ingest f --key a --value b --delimiter \\t");
        assert_eq!(args.delimiter.byte(), b'\t');
    }

    #[test]
    fn mistakes_are_refused() {
        for (line, kind) in [
            ("ingest", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a --value b --delimiter ab", ErrorKind::ValueValidation),
            ("ingest f --key a --value b --delimiter \"", ErrorKind::ValueValidation),
            ("--listen", ErrorKind::InvalidValue),
            ("--lisen 127.0.0.1:0", ErrorKind::UnknownArgument),
            ("serve", ErrorKind::InvalidSubcommand),
            ("--data here ingest f --key a --value b", ErrorKind::ArgumentConflict),
            ("ingest f --key a --value b --listen 127.0.0.1:0", ErrorKind::UnknownArgument),
        ] {
            assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
        }
    }

    #[test]
    fn help_names_every_flag() {
        let help = Cli::command().render_long_help().to_string();
        for word in ["run", "ingest", "--listen <ADDR>", "--config <FILE>", "--data <DIR>"] {
            assert!(help.contains(word), "{word} is missing in:\n{help}");
        }
    }

    #[test]
    fn the_example_configuration_has_a_table_for_each_application() {
        let text = include_str!("../../linden.toml");
        let tables: toml::Table = text.parse().unwrap();
        let names: Vec<&str> = tables.keys().map(String::as_str).collect();
        assert_eq!(names, ["auth", "billing", "data_processing", "log", "node", "web"]);
        assert_eq!(tables["auth"]["access_ttl"].as_str(), Some("15m"));
        assert!(listen_address(tables["web"]["listen"].as_str().unwrap()).is_ok());
    }
}
