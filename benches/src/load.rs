//! The clients of `http`: an OS process of its own that asks over and over on each of its connections, one request at a
//! time, checks each answer, and reports how many came and how long they took.
//!
//! The same for every system, and light, so that the server gets most of the machine: one thread, a request that is always
//! the same bytes, and as much parsing as the check takes. Started by the OS process of the server; when that ends, the
//! connections break and so does the load. Absent on purpose: pipelining, and connections that are opened anew.

mod answer;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::child::{self, ChildError, TIME_LIMIT};
use crate::hello::{ALPN, Certificate, HOST, PATH};
use crate::measure::{self, Params};
use crate::outcome::{Metric, Outcome};
use crate::scenario::Cover;
use answer::{Answer, AnswerError};

/// Bytes of a response, at most.
const RESPONSE_BYTES_MAX: usize = 4096;

/// What to do; also the command line of the load's OS process.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub(crate) struct Load {
    /// Where the server listens
    pub(crate) server: SocketAddr,
    /// Connections that ask at once
    #[arg(long)]
    pub(crate) connections: usize,
    /// For how long answers count
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) measure_ms: u64,
    /// Speak TLS with a server that has this certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

/// Why a load was not borne.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// A connection failed, or was closed by the server.
    Connection(io::Error),
    /// The certificate cannot be used.
    Certificate(Box<dyn Error + Send + Sync>),
    /// What came is not what was asked for.
    Answer(AnswerError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LoadError::Connection(_) => "a connection of the load broke",
            LoadError::Certificate(_) => "the load cannot use the server's certificate",
            LoadError::Answer(_) => "the load got a wrong answer",
        })
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LoadError::Connection(error) => Some(error),
            LoadError::Certificate(error) => Some(error.as_ref()),
            LoadError::Answer(error) => Some(error),
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> LoadError {
        LoadError::Connection(error)
    }
}

impl Load {
    /// The load of one run on `server`.
    pub(crate) fn of(
        server: SocketAddr,
        connections: usize,
        cover: Cover,
        certificate: &Certificate,
        params: Params,
    ) -> Load {
        let measure_ms = u64::try_from(params.measure.as_millis()).expect("it is some seconds");
        let trust = (cover == Cover::Tls).then(|| certificate.cert());
        Load { server, connections, measure_ms, trust }
    }

    /// Bears the load in an OS process of its own, for as long as it takes.
    pub(crate) fn bear_apart(&self) -> Result<Vec<Metric>, ChildError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["load", &self.server.to_string()])
            .args(["--connections", &self.connections.to_string()])
            .args(["--measure-ms", &self.measure_ms.to_string()]);
        if let Some(file) = &self.trust {
            command.arg("--trust").arg(file);
        }
        match child::run(&mut command, TIME_LIMIT)? {
            Outcome::Metrics(metrics) => Ok(metrics),
            Outcome::Unsupported(_) => unreachable!("the load has figures or fails"),
        }
    }

    /// Bears the load here.
    pub(crate) fn bear(&self) -> Result<Vec<Metric>, LoadError> {
        Builder::new_current_thread().enable_all().build()?.block_on(async {
            match &self.trust {
                None => self.ask_on_all(async || self.connect().await).await,
                Some(file) => {
                    let tls = connector(file)?;
                    let host = ServerName::try_from(HOST).expect("the name is sound");
                    let connect = async || tls.connect(host.clone(), self.connect().await?).await;
                    self.ask_on_all(connect).await
                }
            }
        })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn ask_on_all<S>(
        &self,
        connect: impl AsyncFn() -> io::Result<S>,
    ) -> Result<Vec<Metric>, LoadError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut clients = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let mut client = Client::new(connect().await?);
            // Both sides have set the connection up when it has answered once.
            client.ask().await?;
            clients.push(client);
        }
        let measure = Duration::from_millis(self.measure_ms);
        let window = Window::beginning_at(Instant::now(), measure);
        let mut asking: JoinSet<_> =
            clients.into_iter().map(|client| client.ask_within(window)).collect();
        let mut times = Vec::new();
        while let Some(done) = asking.join_next().await {
            times.extend(done.expect("a client does not panic")?);
        }
        Ok(measure::http_metrics(&times, measure))
    }
}

/// Which answers count: those that come within it.
#[derive(Clone, Copy, Debug)]
struct Window {
    begins: Instant,
    ends: Instant,
}

impl Window {
    /// A fifth of the time warms up and does not count, as in the rounds of the other scenarios.
    fn beginning_at(now: Instant, measure: Duration) -> Window {
        let begins = now + measure / 5;
        Window { begins, ends: begins + measure }
    }
}

/// One connection.
struct Client<S> {
    stream: S,
    request: String,
    response: Box<[u8; RESPONSE_BYTES_MAX]>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Client<S> {
        let request = format!("GET {PATH} HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
        Client { stream, request, response: Box::new([0; RESPONSE_BYTES_MAX]) }
    }

    /// Asks until the window ends; the times of the answers that count.
    async fn ask_within(mut self, window: Window) -> Result<Vec<Duration>, LoadError> {
        let mut times = Vec::new();
        let mut sent = Instant::now();
        loop {
            self.ask().await?;
            let came = Instant::now();
            if came >= window.ends {
                return Ok(times);
            }
            if came >= window.begins {
                times.push(came - sent);
            }
            sent = came;
        }
    }

    /// Sends the request and reads its answer to the end.
    async fn ask(&mut self) -> Result<(), LoadError> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.stream.flush().await?;
        let mut bytes = 0;
        loop {
            let read = self.stream.read(&mut self.response[bytes..]).await?;
            bytes += read;
            match answer::check(&self.response[..bytes]).map_err(LoadError::Answer)? {
                Answer::Whole => return Ok(()),
                // Also when the response is larger than the buffer.
                Answer::Part if read == 0 => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                Answer::Part => {}
            }
        }
    }
}

fn connector(certificate: &Path) -> Result<TlsConnector, LoadError> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate)
        .map_err(|error| LoadError::Certificate(error.into()))?;
    roots.add(certificate).map_err(|error| LoadError::Certificate(error.into()))?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
