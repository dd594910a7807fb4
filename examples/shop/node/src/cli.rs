//! What `shop` understands on its command line.
//!
//! Parsing alone: nothing here opens a file or a socket. A flag that is not given is `None`, so that
//! the configuration file may decide; flags win over the file.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use crate::{demo::DemoArgs, verify::VerifyArgs};
use clap::{Args, Parser, Subcommand};
use linden::config::duration;
use shop_data_processing::{
    Delimiter, Format, LatePolicy, Measure, Options, OptionsError, Selection,
};

/// The shop: accounts, payments, orders and aggregation of files as applications of one Linden node.
#[derive(Debug, Parser)]
#[command(name = "shop", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  shop                                      serve on 127.0.0.1:4000, with data in ./data
  shop --listen 127.0.0.1:0 --data shop-2   serve on a free port, with data of its own
  shop ingest sales.csv --key region --value amount
  shop ingest day.ndjson.gz --key user.city --value price --time at --window 1h --csv
  shop demo --visitors 64 --seconds 30      a load for the shop on 127.0.0.1:4000
  shop demo --trust shop.pem --host shop.example
                                            the same for a shop under TLS
  shop verify --data shop-2                 whether its books agree, when it does not run
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
    /// Aggregate a file of CSV or NDJSON, also as gzip or zstd, and print the result
    Ingest(IngestArgs),
    /// Let visitors use a running shop, and show how it does
    Demo(DemoArgs),
    /// Check the files of a shop that does not run
    Verify(VerifyArgs),
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
    /// The file; the first line of CSV names the columns
    pub(crate) file: PathBuf,

    /// Group the rows by this column; in NDJSON a path like user.city
    #[arg(long, value_name = "COL")]
    pub(crate) key: String,

    /// Sum up and compare the values of this column
    #[arg(long, value_name = "COL")]
    pub(crate) value: String,

    /// How the file is written: csv, tsv or ndjson [default: by its name, else csv]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// The character between two fields of CSV; \t for a tab
    #[arg(long, value_name = "CHAR")]
    pub(crate) delimiter: Option<Delimiter>,

    /// Count the different values of this column as well, approximately
    #[arg(long, value_name = "COL")]
    pub(crate) distinct: Option<String>,

    /// Group by windows of time as well; this column says when a row happened: RFC 3339, or
    /// seconds or milliseconds since 1970
    #[arg(long, value_name = "COL", requires = "window")]
    pub(crate) time: Option<String>,

    /// The length of the windows, such as 1h
    #[arg(long, value_name = "TIME", requires = "time", value_parser = duration::parse)]
    pub(crate) window: Option<Duration>,

    /// Begin a window every so often, so that windows overlap [default: one after the other]
    #[arg(long, value_name = "TIME", requires = "window", value_parser = duration::parse)]
    pub(crate) every: Option<Duration>,

    /// What to do with rows that come out of order: drop or include [default: include]
    #[arg(long, value_name = "POLICY", requires = "window")]
    pub(crate) late: Option<LatePolicy>,

    /// With --late drop: how far a row may be behind the latest one before it [default: 0s]
    #[arg(long, value_name = "TIME", requires = "late", value_parser = duration::parse)]
    pub(crate) lateness: Option<Duration>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How the result is printed; a table by default.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[group(multiple = false)]
pub(crate) struct OutputArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Print CSV instead of a table
    #[arg(long)]
    pub(crate) csv: bool,

    /// Print a picture of this figure (sum, mean, p99, ...) as SVG instead of a table
    #[arg(long, value_name = "FIGURE", num_args = 0..=1, default_missing_value = "sum")]
    pub(crate) svg: Option<Measure>,
}

impl IngestArgs {
    /// The columns asked for.
    pub(crate) fn selection(&self) -> Result<Selection, OptionsError> {
        let options = Options {
            format: self.format,
            delimiter: self.delimiter,
            distinct: self.distinct.clone(),
            time: self.time.clone(),
            window: self.window,
            every: self.every,
            late: self.late,
            lateness: self.lateness,
            ..Options::new(self.key.as_str(), self.value.as_str())
        };
        options.selection(self.file.to_str().and_then(Format::of_file_name))
    }
}

/// An address and port. Of names only `localhost` is known: others would have to be looked up.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
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
    use shop_data_processing::{EventTime, Late, Windows};

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
        assert_eq!((args.file.to_str(), args.output), (Some("sales.csv"), OutputArgs::default()));
        assert_eq!(args.selection(), Ok(Selection::new("region", "amount")));

        let args = ingest("ingest --json --delimiter ; --value amount --key region sales.csv");
        assert!(args.output.json);
        let format = Format::CSV.delimited(";".parse().unwrap()).unwrap();
        assert_eq!(args.selection().unwrap().format, format);
        let args = ingest("ingest f --key a --value b --delimiter \\t");
        assert_eq!(args.selection().unwrap().format, Format::TSV);
    }

    #[test]
    fn ingest_knows_the_format_by_the_name_of_the_file() {
        let args = ingest("ingest day.ndjson.gz --key a --value b");
        assert_eq!(args.selection().unwrap().format, Format::Ndjson);
        let args = ingest("ingest day.ndjson.gz --key a --value b --format csv");
        assert_eq!(args.selection().unwrap().format, Format::CSV);
        let args = ingest("ingest day.ndjson --key a --value b --delimiter ;");
        let error = args.selection().unwrap_err();
        assert!(error.to_string().contains("ndjson has no delimiter"), "{error}");
    }

    #[test]
    fn ingest_takes_windows_and_a_policy_for_late_rows() {
        let args = ingest(
            "ingest f --key a --value b --distinct c --time t --window 1h --every 10m \
             --late drop --lateness 5m",
        );
        let [hour, ten, five] = [60, 10, 5].map(|minutes| Duration::from_secs(minutes * 60));
        let selection = args.selection().unwrap();
        let time = EventTime {
            column: "t".to_owned(),
            windows: Windows::sliding(hour, ten).unwrap(),
            late: Late::Drop { lateness: five },
        };
        assert_eq!((selection.distinct, selection.time), (Some("c".to_owned()), Some(time)));
        let args = ingest("ingest f --key a --value b --time t --window 1h --every 2h");
        assert!(args.selection().is_err());
    }

    #[test]
    fn a_picture_is_of_the_sum_unless_another_figure_is_named() {
        let svg = |line: &str| ingest(line).output.svg;
        assert_eq!(svg("ingest f --key a --value b"), None);
        assert_eq!(svg("ingest f --key a --value b --svg"), Some(Measure::Sum));
        assert_eq!(svg("ingest f --key a --value b --svg p99"), Some(Measure::P99));
    }

    #[test]
    fn demo_and_verify_have_defaults() {
        let Ok(Command::Demo(args)) = parse("demo") else { panic!("not demo") };
        assert_eq!((args.shop.to_string().as_str(), args.visitors), ("127.0.0.1:4000", 16));
        let Ok(Command::Verify(args)) = parse("verify --data here") else { panic!("not verify") };
        assert_eq!(args.data.to_str(), Some("here"));
    }

    #[test]
    fn mistakes_are_refused() {
        for (line, kind) in [
            ("ingest", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a --value b --delimiter ab", ErrorKind::ValueValidation),
            ("ingest f --key a --value b --delimiter \"", ErrorKind::ValueValidation),
            ("ingest f --key a --value b --format xml", ErrorKind::ValueValidation),
            ("ingest f --key a --value b --window 1h", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a --value b --time t", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a --value b --late drop", ErrorKind::MissingRequiredArgument),
            ("ingest f --key a --value b --time t --window 5", ErrorKind::ValueValidation),
            ("ingest f --key a --value b --csv --json", ErrorKind::ArgumentConflict),
            ("ingest f --key a --value b --svg mode", ErrorKind::ValueValidation),
            ("demo --visitors 0", ErrorKind::ValueValidation),
            ("demo --shop example.org:80", ErrorKind::ValueValidation),
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
        let expected = [
            "auth",
            "billing",
            "catalog",
            "data_processing",
            "log",
            "node",
            "notifications",
            "orders",
            "web",
        ];
        assert_eq!(names, expected);
        assert_eq!(tables["auth"]["access_ttl"].as_str(), Some("15m"));
        assert!(listen_address(tables["web"]["listen"].as_str().unwrap()).is_ok());
    }
}
