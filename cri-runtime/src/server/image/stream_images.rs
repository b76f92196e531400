//! StreamImages: the list in messages of bounded size (KEP-5825). One reading of the index; no message if there is
//! nothing.

use cri_api::v1::{Image, StreamImagesRequest, StreamImagesResponse};
use prost::Message;
use tonic::Status;

use super::list_images::filtered;
use crate::image::Images;

/// Bytes after which a message is sent.
const CHUNK: usize = 1 << 20;

/// The messages of a stream.
pub type Messages = tokio_stream::Iter<std::vec::IntoIter<Result<StreamImagesResponse, Status>>>;

pub(super) fn handle(images: &Images, request: StreamImagesRequest) -> Messages {
    let messages = chunks(filtered(images, request.filter), CHUNK);
    let messages: Vec<_> = messages.into_iter().map(|images| Ok(StreamImagesResponse { images })).collect();
    tokio_stream::iter(messages)
}

fn chunks(images: Vec<Image>, limit: usize) -> Vec<Vec<Image>> {
    let mut chunks: Vec<Vec<Image>> = Vec::new();
    let mut size = limit;
    for image in images {
        let length = image.encoded_len();
        if size + length > limit {
            chunks.push(Vec::new());
            size = 0;
        }
        size += length;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(image);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_exactly_one_message() {
        let images: Vec<_> =
            (0..10).map(|number| Image { id: format!("sha256:{number}"), ..Default::default() }).collect();
        let one = images[0].encoded_len();
        let chunks = chunks(images.clone(), one * 3);
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 1]);
        assert_eq!(chunks.concat(), images);
        assert!(super::chunks(Vec::new(), 10).is_empty());
    }
}
