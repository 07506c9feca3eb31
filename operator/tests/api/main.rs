//! Operator and webhook against a real API server: KUBECONFIG says which. `cargo xtask test --only api`.
