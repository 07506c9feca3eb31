//! Writes `config/crd/*.yaml`: `cargo xtask crds`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/crd");
    for crd in tetragon_api::crd::all() {
        let name = crd.metadata.name.as_deref().unwrap_or_default();
        std::fs::write(dir.join(format!("{name}.yaml")), tetragon_api::crd::yaml(&crd))?;
        println!("config/crd/{name}.yaml");
    }
    Ok(())
}
