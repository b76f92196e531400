//! A layer's bytes, from whatever host has them, as one stream: a connection that breaks is resumed where it broke
//! (I-16, I-28).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::RegistryError;
use super::client::next_piece;
use super::retry::{ATTEMPTS, delay};
use super::source::{Source, unavailable};
use crate::image::manifest::Content;

/// What goes to whoever unpacks.
#[derive(Debug)]
pub enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// There are no more. Without it the stream broke off.
    End,
}

/// Why the stream ended early.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No host could give the rest.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Nobody takes the bytes any more.
    #[error("the receiver is gone")]
    Abandoned,
}

impl Source {
    /// Sends a blob's bytes to `sink` and reports how many have passed.
    pub async fn download(
        &self,
        content: &Content,
        sink: mpsc::Sender<Piece>,
        progress: impl Fn(u64),
    ) -> Result<(), DownloadError> {
        let path = format!("blobs/{}", content.digest);
        let object = format!("blob {}", self.reference().with_digest(content.digest.clone()));
        let mut failure = self.no_host(&object);
        let mut done = 0;
        for endpoint in &self.endpoints {
            let mut fruitless = 0;
            let mut ranges = true;
            while fruitless < ATTEMPTS {
                if fruitless > 0 {
                    tokio::time::sleep(delay(fruitless, None)).await;
                }
                let mut headers = HeaderMap::new();
                if done > 0 && ranges {
                    let range = HeaderValue::from_str(&format!("bytes={done}-"));
                    headers.extend(range.ok().map(|range| (header::RANGE, range)));
                }
                let response = match self.ask(endpoint, &path, &object, &headers).await {
                    Ok(response) => response,
                    Err(error) => {
                        failure = error;
                        break;
                    }
                };
                let skip = match start_of(&response) {
                    // The part that was asked for, or the whole, of which the beginning is known.
                    Some(start) if start <= done => done - start,
                    _ if ranges => {
                        ranges = false;
                        continue;
                    }
                    _ => {
                        failure = unavailable(endpoint, &object, "it answers with another part".to_owned());
                        break;
                    }
                };
                let before = done;
                match take(response, skip, &mut done, content.size, &sink, &progress).await {
                    Ok(()) if done == content.size => {
                        return sink.send(Piece::End).await.map_err(|_| DownloadError::Abandoned);
                    }
                    Ok(()) => {
                        let reason = format!("the answer ends after {done} of {} bytes", content.size);
                        failure = unavailable(endpoint, &object, reason);
                    }
                    Err(TakeError::Abandoned) => return Err(DownloadError::Abandoned),
                    Err(TakeError::TooMuch) => {
                        let reason = format!("more than the {} bytes of its descriptor", content.size);
                        let (host, object) = (endpoint.authority.clone(), object.clone());
                        return Err(RegistryError::Protocol { host, object, reason }.into());
                    }
                    Err(TakeError::Broken(reason)) => failure = unavailable(endpoint, &object, reason),
                }
                fruitless = if done > before { 1 } else { fruitless + 1 };
            }
        }
        Err(failure.into())
    }
}

enum TakeError {
    Broken(String),
    Abandoned,
    TooMuch,
}

async fn take(
    response: Response<Incoming>,
    mut skip: u64,
    done: &mut u64,
    size: u64,
    sink: &mpsc::Sender<Piece>,
    progress: &impl Fn(u64),
) -> Result<(), TakeError> {
    let mut body = response.into_body();
    while let Some(mut piece) =
        next_piece(&mut body).await.map_err(|error| TakeError::Broken(error.to_string()))?
    {
        let known = skip.min(piece.len() as u64);
        skip -= known;
        let piece = piece.split_off(known as usize);
        if piece.is_empty() {
            continue;
        }
        if *done + piece.len() as u64 > size {
            return Err(TakeError::TooMuch);
        }
        *done += piece.len() as u64;
        sink.send(Piece::Data(piece)).await.map_err(|_| TakeError::Abandoned)?;
        progress(*done);
    }
    Ok(())
}

/// The offset at which an answer starts; `None` if it is not what was asked for.
fn start_of(response: &Response<Incoming>) -> Option<u64> {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
            range.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
        }
        status if status.is_success() => Some(0),
        _ => None,
    }
}
