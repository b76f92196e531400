//! A web server that logs a line per request, and the client that asks it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Failure, Outcome, doing, print};

/// A client that sends nothing is let go after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest request head that is read, bytes.
const HEAD_MAX: u64 = 16 * 1024;

/// Serves until SIGTERM or SIGINT, then ends with 0: the request being answered is finished first.
pub(crate) fn serve(port: u16) -> Outcome {
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .map_err(doing(format_args!("listen on port {port}")))?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(doing("listen for signals"))?;
    print(&format!("listening on port {port} as {}\n", hostname()))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                if let Err(Failure::Failed(text)) = answer(&stream) {
                    eprintln!("demo: {text}");
                }
            });
        }
    });
    if let Some(signal) = signals.forever().next() {
        print(&format!("signal {signal}: closing\n"))?;
    }
    Ok(())
}

fn answer(mut stream: &TcpStream) -> Outcome {
    let peer = stream.peer_addr().map_err(doing("name the client"))?;
    // The socket is dual stack; an IPv4 client is shown as one.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    stream.set_read_timeout(Some(PATIENCE)).map_err(doing("limit the wait"))?;
    let mut head = BufReader::new(stream).take(HEAD_MAX);
    let mut request = String::new();
    head.read_line(&mut request).map_err(doing(format_args!("read the request of {peer}")))?;
    let mut line = String::new();
    // The rest of the head is read, so that closing does not reset the connection under the client.
    while head.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && !line.trim_end().is_empty() {
        line.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or("-"), words.next().unwrap_or("-"));
    let (status, body) = if path == "/" { ("200 OK", page(&peer.to_string())) } else { file(path) };
    let mut response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(&body);
    // The log line comes first: who has the answer can be sure to find it.
    print(&format!("{peer} {method} {path} {}\n", &status[..3]))?;
    stream.write_all(&response).map_err(doing(format_args!("answer {peer}")))?;
    // A client that has already closed is no failure of ours.
    let _closed = stream.shutdown(Shutdown::Write);
    Ok(())
}

fn page(peer: &str) -> Vec<u8> {
    let mut page = String::from("Hello from a pod.\n\n");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(page, "{name:<10}{value}");
    };
    row("host", &hostname());
    row("you", peer);
    row("process", &std::process::id().to_string());
    row("seconds", &format!("{}.{:03}", now.as_secs(), now.subsec_millis()));
    page.into_bytes()
}

/// A file below `/www`, where a volume may be mounted. No path leads out of it: names with a dot in front are refused.
fn file(path: &str) -> (&'static str, Vec<u8>) {
    let clean = path.trim_start_matches('/');
    if clean.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return ("404 Not Found", b"no such page\n".to_vec());
    }
    match std::fs::read(format!("/www/{clean}")) {
        Ok(content) => ("200 OK", content),
        Err(_) => ("404 Not Found", b"no such page\n".to_vec()),
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// Prints the body of an `http://` address; an answer other than 2xx is a failure.
pub(crate) fn fetch(url: &str, patience: Duration) -> Outcome {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| Failure::Usage(format!("not an http:// address: {url}")))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let bracketed_or_plain = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if bracketed_or_plain { host.to_owned() } else { format!("{host}:80") };
    let target = address
        .to_socket_addrs()
        .map_err(doing(format_args!("resolve {host}")))?
        .next()
        .ok_or_else(|| Failure::Failed(format!("resolve {host}: no address")))?;
    let mut stream =
        TcpStream::connect_timeout(&target, patience).map_err(doing(format_args!("connect to {target}")))?;
    stream.set_read_timeout(Some(patience)).map_err(doing("limit the wait"))?;
    stream
        .write_all(format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
        .map_err(doing(format_args!("ask {target}")))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(doing(format_args!("read the answer of {target}")))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    print(body)?;
    let status = head.split_whitespace().nth(1).unwrap_or("no status");
    if status.starts_with('2') { Ok(()) } else { Err(Failure::Failed(format!("{url} answered {status}"))) }
}
