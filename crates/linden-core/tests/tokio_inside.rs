//! tokio and what stands on it inside of processes: sockets, timers, HTTP, a database, a WebSocket, tokio's own tools.
//!
//! Each works, is let go of when its process is killed in the middle, and works again afterwards.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak, mpsc as std_mpsc};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use linden_core::{Address, Cx, Mail, Message, Node, Pid, Reason, current_process};
use redb::{Database, ReadableDatabase, TableDefinition};
use stage::{Running, inside, watch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{accept_async, client_async};

#[path = "support/stage.rs"]
mod stage;

const LOCAL: &str = "127.0.0.1:0";
const HOUR: Duration = Duration::from_secs(3_600);

enum Tell {
    Line(&'static str),
    End,
}
impl Message for Tell {}

fn on_two_workers<F: Future<Output = ()>>(scenario: impl FnOnce(Node) -> F) {
    let running = Running::start(2);
    running.run(scenario(running.clone()));
    assert_eq!(running.stop().killed, []);
}

/// Kills a process and waits until it has ended.
async fn kill(node: &Node, pid: Pid) {
    let end = watch(node, pid);
    node.exit(pid, Reason::Kill);
    assert_eq!(end.await, Reason::Killed);
    assert!(!node.is_alive(pid));
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Whether a connection has ended: nothing more is read.
async fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]).await {
        Ok(read) => read == 0,
        Err(_) => true,
    }
}

/// Waits for what never happens, holding `kept`.
async fn hang<T>(kept: T) {
    std::future::pending::<()>().await;
    drop(kept);
}

// ---- Sockets

async fn tcp_client(to: SocketAddr) -> u8 {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_u8(41).await.unwrap();
    stream.read_u8().await.unwrap()
}

// proves: NODE-31, NODE-32
#[test]
fn tcp_works_inside_and_a_kill_closes_the_connection() {
    on_two_workers(|node| async move {
        let (listener, address) = listen().await;
        let round_trip = async || {
            let served = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let byte = stream.read_u8().await.unwrap();
                stream.write_u8(byte + 1).await.unwrap();
            };
            let client = inside(&node, |_: Cx<()>| tcp_client(address));
            assert_eq!(tokio::join!(client, served).0, 42);
        };
        round_trip().await;
        let client =
            node.spawn(|_: Cx<()>| async move { assert_eq!(tcp_client(address).await, 42) });
        let (mut peer, _) = listener.accept().await.unwrap();
        assert_eq!(peer.read_u8().await.unwrap(), 41);
        kill(&node, client.pid()).await;
        assert!(is_closed(&mut peer).await);
        round_trip().await;
    });
}

// proves: NODE-31, NODE-32
#[test]
fn a_tcp_server_killed_while_it_writes_lets_go_of_clients_and_port() {
    on_two_workers(|node| async move {
        let (tell, told) = oneshot::channel();
        let server = node.spawn(|_: Cx<()>| async move {
            let (listener, address) = listen().await;
            tell.send(address).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            // More than the buffers hold: it waits in the middle.
            while stream.write_all(&[7; 65_536]).await.is_ok() {}
        });
        let mut client = TcpStream::connect(told.await.unwrap()).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 7);
        kill(&node, server.pid()).await;
        let mut rest = Vec::new();
        // The end, in order or not, comes behind what was under way.
        let _ = client.read_to_end(&mut rest).await;
        assert!(is_closed(&mut client).await);
        let (listener, address) = listen().await;
        let accepted = async { listener.accept().await.unwrap().0.write_u8(9).await.unwrap() };
        let read = inside(&node, |_: Cx<()>| async move {
            TcpStream::connect(address).await.unwrap().read_u8().await.unwrap()
        });
        assert_eq!(tokio::join!(read, accepted).0, 9);
    });
}

// proves: NODE-31, NODE-32
#[test]
fn udp_works_inside_and_a_kill_closes_the_socket() {
    async fn ask(socket: &UdpSocket, to: SocketAddr) -> [u8; 1] {
        socket.send_to(&[41], to).await.unwrap();
        let mut answer = [0];
        socket.recv_from(&mut answer).await.unwrap();
        answer
    }
    on_two_workers(|node| async move {
        let peer = UdpSocket::bind(LOCAL).await.unwrap();
        let address = peer.local_addr().unwrap();
        let heard = async || {
            let mut asked = [0];
            let (_, from) = peer.recv_from(&mut asked).await.unwrap();
            assert_eq!(asked, [41]);
            from
        };
        let round_trip = async || {
            let answered = async { peer.send_to(&[42], heard().await).await.unwrap() };
            let asked = inside(&node, |_: Cx<()>| async move {
                ask(&UdpSocket::bind(LOCAL).await.unwrap(), address).await
            });
            assert_eq!(tokio::join!(asked, answered).0, [42]);
        };
        round_trip().await;
        let (tell, told) = oneshot::channel::<Weak<UdpSocket>>();
        let client = node.spawn(|_: Cx<()>| async move {
            let socket = Arc::new(UdpSocket::bind(LOCAL).await.unwrap());
            tell.send(Arc::downgrade(&socket)).unwrap();
            ask(&socket, address).await;
        });
        heard().await;
        let socket = told.await.unwrap();
        assert!(socket.upgrade().is_some());
        kill(&node, client.pid()).await;
        assert!(socket.upgrade().is_none(), "the socket is closed before the end is told");
        round_trip().await;
    });
}

// proves: NODE-31
#[test]
fn a_process_waits_for_mail_and_a_socket_at_once() {
    on_two_workers(|node| async move {
        let (listener, address) = listen().await;
        let process: Address<Tell> = node.spawn(|mut cx: Cx<Tell>| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut reads, mut writes) = stream.split();
            loop {
                tokio::select! {
                    mail = cx.recv() => match mail {
                        Mail::Msg(Tell::Line(line)) => writes.write_all(line.as_bytes()).await.unwrap(),
                        Mail::Msg(Tell::End) => return,
                        Mail::Info(_) => {}
                    },
                    byte = reads.read_u8() => writes.write_u8(byte.unwrap() + 1).await.unwrap(),
                }
            }
        });
        let (mut peer, _) = listener.accept().await.unwrap();
        for round in 0..50 {
            process.send(Tell::Line("mail")).unwrap();
            let mut line = [0; 4];
            peer.read_exact(&mut line).await.unwrap();
            assert_eq!(&line, b"mail");
            peer.write_u8(round).await.unwrap();
            assert_eq!(peer.read_u8().await.unwrap(), round + 1);
        }
        let end = watch(&node, process.pid());
        process.send(Tell::End).unwrap();
        assert_eq!(end.await, Reason::Normal);
        assert!(is_closed(&mut peer).await);
    });
}

// ---- Timers

async fn use_timers() {
    let step = Duration::from_millis(3);
    let start = Instant::now();
    sleep(step).await;
    assert!(start.elapsed() >= step);
    let start = Instant::now();
    let mut ticks = interval(step);
    for _ in 0..3 {
        ticks.tick().await;
    }
    assert!(start.elapsed() >= 2 * step);
    assert!(timeout(step, std::future::pending::<()>()).await.is_err());
    assert_eq!(timeout(HOUR, async { 42 }).await, Ok(42));
}

// proves: NODE-31, NODE-32
#[test]
fn tokio_timers_work_inside_and_hold_no_kill_up() {
    on_two_workers(|node| async move {
        inside(&node, |_: Cx<()>| use_timers()).await;
        let (tell, mut told) = mpsc::channel(3);
        let (first, second, third) = (tell.clone(), tell.clone(), tell);
        let sleepers = [
            node.spawn(|_: Cx<()>| async move {
                first.send(()).await.unwrap();
                sleep(HOUR).await;
            }),
            node.spawn(|_: Cx<()>| async move {
                let mut ticks = interval(HOUR);
                ticks.tick().await;
                second.send(()).await.unwrap();
                ticks.tick().await;
            }),
            node.spawn(|_: Cx<()>| async move {
                third.send(()).await.unwrap();
                let _ = timeout(HOUR, std::future::pending::<()>()).await;
            }),
        ];
        for _ in &sleepers {
            told.recv().await.unwrap();
        }
        for sleeper in sleepers {
            kill(&node, sleeper.pid()).await;
        }
        inside(&node, |_: Cx<()>| use_timers()).await;
    });
}

// ---- HTTP

async fn http_get(to: SocketAddr) -> Bytes {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client.get(format!("http://{to}/").parse().unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes()
}

/// Accepts a connection and reads a request's head.
async fn accept_request(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"GET / HTTP/1.1\r\n"));
    stream
}

// proves: NODE-31, NODE-32
#[test]
fn an_http_client_works_inside_and_a_kill_closes_its_connection() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    on_two_workers(|node| async move {
        let (listener, address) = listen().await;
        let round_trip = async || {
            let served = async { accept_request(&listener).await.write_all(ANSWER).await.unwrap() };
            let got = inside(&node, |_: Cx<()>| http_get(address));
            assert_eq!(tokio::join!(got, served).0, "hello");
        };
        round_trip().await;
        // Killed before the answer, and in the middle of its body.
        for sent in [0, ANSWER.len() - 2] {
            let client = node.spawn(|_: Cx<()>| async move { drop(http_get(address).await) });
            let mut peer = accept_request(&listener).await;
            peer.write_all(&ANSWER[..sent]).await.unwrap();
            kill(&node, client.pid()).await;
            assert!(is_closed(&mut peer).await);
            round_trip().await;
        }
    });
}

// ---- A database on the blocking threads

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

fn put(database: &Database, key: &str, number: u64) {
    let write = database.begin_write().unwrap();
    write.open_table(NUMBERS).unwrap().insert(key, number).unwrap();
    write.commit().unwrap();
}

fn get(database: &Database, key: &str) -> Option<u64> {
    let read = database.begin_read().unwrap();
    read.open_table(NUMBERS).unwrap().get(key).unwrap().map(|number| number.value())
}

async fn use_database(path: PathBuf, key: &'static str, number: u64) -> Option<u64> {
    let database = spawn_blocking(move || Database::create(path).unwrap()).await.unwrap();
    spawn_blocking(move || {
        put(&database, key, number);
        get(&database, key)
    })
    .await
    .unwrap()
}

/// Says when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

// proves: NODE-31, NODE-33
#[test]
fn blocking_work_whose_process_is_killed_ends_and_its_result_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.redb");
    on_two_workers(|node| async move {
        let first = inside(&node, |_: Cx<()>| use_database(path.clone(), "first", 1)).await;
        assert_eq!(first, Some(1));
        let database = Arc::new(Database::create(&path).unwrap());
        let (tell_begun, begun) = oneshot::channel();
        let (let_go, may_go) = std_mpsc::channel::<()>();
        let (tell_dropped, dropped) = oneshot::channel();
        let writer = database.clone();
        let process = node.spawn(|_: Cx<()>| async move {
            let written = spawn_blocking(move || {
                let write = writer.begin_write().unwrap();
                write.open_table(NUMBERS).unwrap().insert("second", 2).unwrap();
                tell_begun.send(()).unwrap();
                may_go.recv().unwrap();
                write.commit().unwrap();
                Dropped(Some(tell_dropped))
            });
            hang(written.await.unwrap()).await;
        });
        begun.await.unwrap();
        kill(&node, process.pid()).await;
        // The process is gone, its closure still at work: nothing is committed yet.
        assert_eq!(get(&database, "second"), None);
        let_go.send(()).unwrap();
        dropped.await.unwrap();
        assert_eq!(get(&database, "second"), Some(2));
        drop(database);
        let third = inside(&node, |_: Cx<()>| use_database(path, "third", 3)).await;
        assert_eq!(third, Some(3));
    });
}

// ---- A WebSocket

async fn talk(to: SocketAddr) -> Frame {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{to}/"), stream).await.unwrap();
    socket.send(Frame::text("hello")).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    socket.close(None).await.unwrap();
    answer
}

// proves: NODE-31, NODE-32
#[test]
fn a_websocket_works_inside_and_a_kill_ends_it() {
    on_two_workers(|node| async move {
        let (listener, address) = listen().await;
        let greeted = async || {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Frame::text("hello"));
            socket
        };
        let round_trip = async || {
            let served = async {
                let mut socket = greeted().await;
                socket.send(Frame::text("world")).await.unwrap();
                assert!(matches!(socket.next().await, Some(Ok(Frame::Close(_)))));
            };
            let talked = inside(&node, |_: Cx<()>| talk(address));
            assert_eq!(tokio::join!(talked, served).0, Frame::text("world"));
        };
        round_trip().await;
        let client = node.spawn(|_: Cx<()>| async move { drop(talk(address).await) });
        let mut socket = greeted().await;
        kill(&node, client.pid()).await;
        let last = socket.next().await;
        assert!(
            matches!(last, None | Some(Err(_))),
            "no orderly close, the connection ends: {last:?}"
        );
        round_trip().await;
    });
}

// proves: NODE-31, NODE-32
#[test]
fn a_websocket_server_works_inside_and_a_kill_ends_it() {
    async fn serve(listener: Arc<TcpListener>) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(frame)) = socket.next().await {
            if frame.is_text() {
                socket.send(frame).await.unwrap();
            }
        }
    }
    on_two_workers(|node| async move {
        let (listener, address) = listen().await;
        let listener = Arc::new(listener);
        let serving = listener.clone();
        let server = node.spawn(|_: Cx<()>| serve(serving));
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(format!("ws://{address}/"), stream).await.unwrap();
        socket.send(Frame::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Frame::text("hello"));
        kill(&node, server.pid()).await;
        assert!(matches!(socket.next().await, None | Some(Err(_))));
        let again = inside(&node, |_: Cx<()>| serve(listener));
        assert_eq!(tokio::join!(talk(address), again).0, Frame::text("hello"));
    });
}

// ---- tokio's own tools

// proves: NODE-31
#[test]
fn select_join_and_joinsets_work_inside() {
    on_two_workers(|node| async move {
        inside(&node, |cx: Cx<()>| async move {
            let own = cx.pid();
            let here = || current_process().unwrap().pid == own;
            let (slow, quick) = (sleep(HOUR), async { assert!(here()) });
            tokio::select! {
                () = slow => panic!("an hour has passed"),
                () = quick => {}
            }
            let (one, two, three) = tokio::join!(
                async { here() },
                async {
                    sleep(Duration::from_millis(1)).await;
                    here()
                },
                async { spawn_blocking(|| 3).await.unwrap() },
            );
            assert_eq!((one, two, three), (true, true, 3));
            let mut set: JoinSet<u64> = (0..10).map(|number| async move { number }).collect();
            set.spawn_blocking(|| 100);
            assert_eq!(set.join_all().await.into_iter().sum::<u64>(), 145);
        })
        .await;
    });
}

// proves: NODE-32
#[test]
fn a_joinset_ends_with_the_process_that_owns_it() {
    on_two_workers(|node| async move {
        let (tell, told) = oneshot::channel();
        let (tell_begun, begun) = oneshot::channel();
        let process = node.spawn(|_: Cx<()>| async move {
            let mut set = JoinSet::new();
            set.spawn(async move {
                let dropped = Dropped(Some(tell));
                tell_begun.send(()).unwrap();
                hang(dropped).await;
            });
            set.join_next().await;
        });
        begun.await.unwrap();
        kill(&node, process.pid()).await;
        told.await.unwrap();
    });
}

// proves: NODE-31, NODE-32
#[test]
fn tokio_mutexes_and_channels_join_processes_and_survive_a_kill() {
    on_two_workers(|node| async move {
        let total = Arc::new(Mutex::new(0));
        let (to_adders, mut from_adders) = mpsc::channel(1);
        let adders = async || {
            for _ in 0..4 {
                let (total, done) = (total.clone(), to_adders.clone());
                node.spawn(|_: Cx<()>| async move {
                    for _ in 0..250 {
                        let mut total = total.lock().await;
                        linden_core::yield_now().await;
                        *total += 1;
                    }
                    done.send(()).await.unwrap();
                });
            }
        };
        adders().await;
        for _ in 0..4 {
            from_adders.recv().await.unwrap();
        }
        assert_eq!(*total.lock().await, 1_000);

        // Killed with the lock in its hands, and while it waits for it.
        let (tell, held) = oneshot::channel();
        let lock = total.clone();
        let holder = node.spawn(|_: Cx<()>| async move {
            let guard = lock.lock_owned().await;
            tell.send(()).unwrap();
            hang(guard).await;
        });
        held.await.unwrap();
        let (tell, waits) = oneshot::channel();
        let lock = total.clone();
        let waiter = node.spawn(|_: Cx<()>| async move {
            tell.send(()).unwrap();
            hang(lock.lock_owned().await).await;
        });
        waits.await.unwrap();
        kill(&node, waiter.pid()).await;
        kill(&node, holder.pid()).await;
        adders().await;
        for _ in 0..4 {
            from_adders.recv().await.unwrap();
        }
        assert_eq!(*total.lock().await, 2_000);

        // The other ends of a dead process's channels hear that it is gone.
        let (to_process, inbox) = mpsc::channel::<u64>(1);
        let (answer, answered) = oneshot::channel::<u64>();
        let process = node.spawn(|_: Cx<()>| hang((inbox, answer)));
        kill(&node, process.pid()).await;
        assert!(to_process.send(7).await.is_err());
        assert!(answered.await.is_err());
    });
}

// proves: NODE-34
#[test]
fn a_task_spawned_inside_a_process_runs_on_its_node_outside_of_supervision() {
    on_two_workers(|node| async move {
        let (tell_begun, begun) = oneshot::channel();
        let (go, may_go) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let process = node.spawn(|_: Cx<()>| async move {
            let task = tokio::spawn(async move {
                tell_begun.send(()).unwrap();
                may_go.await.unwrap();
                tell.send((current_process(), Node::current().map(|node| node.id()))).unwrap();
            });
            task.await.unwrap();
        });
        begun.await.unwrap();
        kill(&node, process.pid()).await;
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), (None, Some(node.id())), "it outlives the process");
        let panicked = inside(&node, |_: Cx<()>| async {
            tokio::spawn(async { panic!("a task's panic is nobody's exit") }).await.unwrap_err()
        })
        .await;
        assert!(panicked.is_panic());
    });
}
