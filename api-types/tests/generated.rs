//! `src/generated/` is what the generator makes of `proto/`. When this fails, run
//! `cargo run -p tetragon-api --example generate` and commit what it wrote.

use std::path::Path;

#[path = "../examples/generate.rs"]
#[expect(dead_code, reason = "the example's main")]
mod generate;

#[test]
fn generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, wanted) in generate::render(root).expect("proto/ compiles") {
        let have = std::fs::read_to_string(root.join("src/generated").join(name)).expect("it is there");
        let line = have.lines().zip(wanted.lines()).position(|(a, b)| a != b);
        assert!(have == wanted, "{name} differs from line {:?} on: regenerate it", line.map(|n| n + 1));
    }
}
