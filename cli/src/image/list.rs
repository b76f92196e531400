//! `orlop image list` and `orlop image inspect`.

use cri_api::v1;
use serde_json::{Value, json};

use crate::args::Format;
use crate::endpoint::{Connection, ask};
use crate::error::{Error, Result};
use crate::output;

/// Lists images.
pub async fn list(connection: &Connection, format: Format) -> Result<u8> {
    let answer = connection.images().list_images(ask(v1::ListImagesRequest { filter: None })).await;
    let images = answer.map_err(|status| Error::call("list", "images", status))?.into_inner().images;
    match format {
        Format::Json => output::print_json(&images.iter().map(as_json).collect()),
        Format::Table => {
            let rows: Vec<Vec<String>> = images.iter().flat_map(rows).collect();
            output::print(&output::table(&["IMAGE", "ID", "SIZE"], &rows));
        }
    }
    Ok(0)
}

/// One row a name; an image without one is still an image.
fn rows(image: &v1::Image) -> Vec<Vec<String>> {
    let names: &[String] = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
    let unnamed = ["<none>".to_owned()];
    let names = if names.is_empty() { &unnamed } else { names };
    let row =
        |name: &String| vec![name.clone(), output::short(&image.id).to_owned(), output::size(image.size)];
    names.iter().map(row).collect()
}

fn as_json(image: &v1::Image) -> Value {
    json!({
        "id": image.id, "repoTags": image.repo_tags, "repoDigests": image.repo_digests, "size": image.size,
        "uid": image.uid.map(|uid| uid.value), "username": image.username, "pinned": image.pinned,
    })
}

/// Prints everything the runtime tells of an image.
pub async fn inspect(connection: &Connection, image: &str) -> Result<u8> {
    let spec = v1::ImageSpec { image: image.to_owned(), ..Default::default() };
    let answer = connection
        .images()
        .image_status(ask(v1::ImageStatusRequest { image: Some(spec), verbose: true }))
        .await;
    let answer = answer.map_err(|status| Error::call("look at image", image, status))?.into_inner();
    let Some(found) = answer.image else {
        return Err(Error::Usage(format!("no image {image:?}; `orlop image list` shows what there is")));
    };
    let mut value = as_json(&found);
    // The verbose part is text that holds JSON.
    let info: serde_json::Map<String, Value> = answer
        .info
        .into_iter()
        .map(|(key, text)| (key, serde_json::from_str(&text).unwrap_or(Value::String(text))))
        .collect();
    value["info"] = Value::Object(info);
    output::print_json(&value);
    Ok(0)
}
