//! `orlop image pull` and `orlop image import`: images on their way in.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use cri_api::{admin, client, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::progress::Progress;
use crate::endpoint::Connection;
use crate::error::{Error, Result};
use crate::output;

/// Bytes of an archive in one message.
const CHUNK: usize = 256 * 1024;

/// The error of a call only our own runtime has.
pub fn only_ours(
    status: tonic::Status,
    connection: &Connection,
    operation: &'static str,
    object: &str,
) -> Error {
    if status.code() == tonic::Code::Unimplemented {
        let endpoint = &connection.endpoint;
        return Error::Usage(format!(
            "the runtime at {endpoint} cannot {operation} {object}; only Orlop's own can"
        ));
    }
    Error::call(operation, object, status)
}

/// Pulls images one after the other.
pub async fn pull(
    connection: &Connection,
    images: &[String],
    username: Option<&str>,
    password: Option<&str>,
) -> Result<u8> {
    for image in images {
        let request = admin::PullImageRequest {
            reference: image.clone(),
            username: username.unwrap_or_default().to_owned(),
            password: password.unwrap_or_default().to_owned(),
        };
        match client::admin(connection.channel.clone()).pull_image(request).await {
            Ok(stream) => finish(stream.into_inner(), "pull", image).await?,
            // Another runtime can pull too, it just does not tell how far it is.
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                plain_pull(connection, image, username, password).await?;
            }
            Err(status) => return Err(Error::call("pull", image, status)),
        }
    }
    Ok(0)
}

async fn plain_pull(
    connection: &Connection,
    image: &str,
    username: Option<&str>,
    password: Option<&str>,
) -> Result<()> {
    let auth = username.map(|username| v1::AuthConfig {
        username: username.to_owned(),
        password: password.unwrap_or_default().to_owned(),
        ..Default::default()
    });
    let spec = v1::ImageSpec { image: image.to_owned(), ..Default::default() };
    let request = v1::PullImageRequest { image: Some(spec), auth, sandbox_config: None };
    let answer = connection.images().pull_image(request).await;
    let answer = answer.map_err(|status| Error::call("pull", image, status))?;
    output::print(&format!("{}\n", answer.into_inner().image_ref));
    Ok(())
}

/// Sends an archive to the runtime.
pub async fn import(connection: &Connection, file: &Path, name: Option<&str>) -> Result<u8> {
    let shown = if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() };
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = File::open(file).map_err(|source| Error::Usage(format!("read {shown}: {source}")))?;
        Box::new(opened)
    };
    let (chunks, receive) = mpsc::channel(4);
    let first = admin::ImportImageRequest { name: name.unwrap_or_default().to_owned(), chunk: Vec::new() };
    let reader = tokio::task::spawn_blocking(move || send_file(source, first, &chunks));
    let answer = client::admin(connection.channel.clone()).import_image(ReceiverStream::new(receive)).await;
    let stream = answer.map_err(|status| only_ours(status, connection, "import", "images"))?.into_inner();
    let finished = finish(stream, "import", &shown).await;
    // What the runtime says of a cut archive is less than what reading it said.
    if let Ok(Err(source)) = reader.await {
        return Err(Error::io("read", shown, source));
    }
    finished.map(|()| 0)
}

fn send_file(
    mut source: impl Read,
    first: admin::ImportImageRequest,
    chunks: &mpsc::Sender<admin::ImportImageRequest>,
) -> std::io::Result<()> {
    let mut message = first;
    loop {
        let mut chunk = vec![0; CHUNK];
        let length = source.read(&mut chunk)?;
        chunk.truncate(length);
        message.chunk = chunk;
        // A receiver that is gone has refused the archive; its answer says why.
        if chunks.blocking_send(message).is_err() || length == 0 {
            return Ok(());
        }
        message = admin::ImportImageRequest::default();
    }
}

async fn finish(
    mut stream: tonic::Streaming<admin::ImageProgress>,
    operation: &'static str,
    object: &str,
) -> Result<()> {
    let mut progress = Progress::new();
    let mut last = admin::ImageProgress::default();
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                progress.show(&message.layers);
                last = message;
            }
            Ok(None) => break,
            Err(status) => {
                progress.clear();
                return Err(Error::call(operation, object, status));
            }
        }
    }
    progress.clear();
    let names = if last.names.is_empty() { last.image_ids } else { last.names };
    for name in names {
        output::print(&format!("{name}\n"));
    }
    Ok(())
}
