//! `orlop image rm` and `orlop image prune`.

use cri_api::{admin, client, v1};

use crate::endpoint::{Connection, ask};
use crate::error::{Error, Result};
use crate::output;

/// Removes images; each is tried before the first failure is told.
pub async fn remove(connection: &Connection, images: &[String]) -> Result<u8> {
    let mut result = Ok(0);
    for image in images {
        let spec = v1::ImageSpec { image: image.clone(), ..Default::default() };
        // CRI calls it a success to remove what is not there; a person who mistyped a name wants to know.
        let request = ask(v1::ImageStatusRequest { image: Some(spec.clone()), verbose: false });
        let status = connection.images().image_status(request).await;
        let removed = match status.map(tonic::Response::into_inner) {
            Err(status) => Err(Error::call("look at image", image, status)),
            Ok(v1::ImageStatusResponse { image: None, .. }) => {
                Err(Error::Usage(format!("no image {image:?}; `orlop image list` shows what there is")))
            }
            Ok(_) => {
                let removed =
                    connection.images().remove_image(ask(v1::RemoveImageRequest { image: Some(spec) })).await;
                removed.map_err(|status| Error::call("remove image", image, status))
            }
        };
        match removed {
            Ok(_) => output::print(&format!("{image}\n")),
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

/// Removes what no container uses.
pub async fn prune(connection: &Connection) -> Result<u8> {
    let answer =
        client::admin(connection.channel.clone()).prune_images(ask(admin::PruneImagesRequest {})).await;
    let pruned = answer
        .map_err(|status| super::transfer::only_ours(status, connection, "prune", "images"))?
        .into_inner();
    for id in &pruned.image_ids {
        output::print(&format!("{id}\n"));
    }
    eprintln!("orlop: {} images removed, {} freed", pruned.image_ids.len(), output::size(pruned.bytes));
    Ok(0)
}
