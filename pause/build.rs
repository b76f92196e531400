//! Links without a runtime, into the one segment that `pause.ld` describes.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| ".".to_owned());
    println!("cargo::rerun-if-changed=pause.ld");
    println!("cargo::rerun-if-changed=build.rs");
    let script = format!("-T{directory}/pause.ld");
    // A bare linker takes the options as they are, a C compiler has to be told whom they are for.
    let bare =
        std::env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("lld") || linker.ends_with("ld"));
    let options = ["-n", "--build-id=none", "--gc-sections", "-znorelro", "-znoseparate-code", "-s", &script];
    for option in options {
        println!("cargo::rustc-link-arg-bins={}{option}", if bare { "" } else { "-Wl," });
    }
    if !bare {
        for option in ["-nostdlib", "-nostartfiles", "-static", "-no-pie"] {
            println!("cargo::rustc-link-arg-bins={option}");
        }
    }
}
