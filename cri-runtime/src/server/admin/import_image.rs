//! ImportImage: an archive that arrives in pieces.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cri_api::admin::ImportImageRequest;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Progress, progress};
use crate::error::{Class, Failure};
use crate::image::ByteStream;
use crate::runtime::Runtime;
use crate::server::image::import_failure;

/// How long the client may take between two pieces.
const PIECE_DEADLINE: Duration = Duration::from_secs(60);

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    mut pieces: Streaming<ImportImageRequest>,
) -> Result<Progress, Failure> {
    let refuse = |why: String| Failure::new(Class::InvalidArgument, format!("import image: {why}"));
    let first = pieces.next().await.transpose().map_err(|e| refuse(e.message().to_owned()))?;
    let Some(first) = first else { return Err(refuse("the request is empty".to_owned())) };
    let name = (!first.name.is_empty()).then_some(first.name);
    let (feed, archive) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut piece = Ok(first.chunk);
        loop {
            let failed = piece.is_err();
            // A receiver that is gone belongs to an import that failed; its caller learns why.
            if feed.send(piece.map(Into::into)).await.is_err() || failed {
                return;
            }
            piece = match tokio::time::timeout(PIECE_DEADLINE, pieces.next()).await {
                Ok(Some(Ok(next))) => Ok(next.chunk),
                Ok(None) => return,
                Ok(Some(Err(status))) => Err(io::Error::other(status.message().to_owned())),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
        }
    });
    let archive = ByteStream::new(archive);
    let (watch_sender, watch) = watch::channel(crate::image::Progress::default());
    let images = runtime.images.clone();
    let work = async move {
        images.import(archive, name, &watch_sender).await.map_err(|error| import_failure(&error))
    };
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(progress::tell(sender, watch, work));
    Ok(ReceiverStream::new(receiver))
}
