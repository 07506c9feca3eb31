//! Why an expression cannot be used.

use thiserror::Error;

/// Why an expression cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{expression}`: line {line}, column {column}: {message}")]
pub struct CelError {
    /// The expression, or how it begins.
    pub expression: String,
    /// Where, from 1.
    pub line: usize,
    /// Where in the line, from 1.
    pub column: usize,
    /// Why, and what would be right.
    pub message: String,
}

impl CelError {
    pub(super) fn new(text: &str, line: usize, column: usize, message: String) -> CelError {
        const SHOWN: usize = 200;
        let mut expression: String = text.chars().take(SHOWN).collect();
        if expression.len() < text.len() {
            expression.push_str("...");
        }
        CelError { expression, line, column, message }
    }
}
