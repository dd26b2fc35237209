//! The selector's parser: one pass, no recursion, and an error that says where.

use crate::labels::LabelWord;

use super::{Condition, MAX_SELECTOR_BYTES, Selector};

/// Why a text is no selector, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the selector is wrong at character {}: {what}", .position + 1)]
pub struct SelectorError {
    /// Characters before the place.
    pub position: usize,
    /// What was expected or is wrong there.
    pub what: String,
}

pub(super) fn selector(text: &str) -> Result<Selector, SelectorError> {
    refuse_long(text)?;
    let selector = grammar(text)?;
    // It is kept as its canonical text, which has spaces that the given one may lack, and must be read from there again.
    refuse_long(&selector.to_string())?;
    Ok(selector)
}

fn refuse_long(text: &str) -> Result<(), SelectorError> {
    if text.len() <= MAX_SELECTOR_BYTES {
        return Ok(());
    }
    Err(SelectorError {
        position: MAX_SELECTOR_BYTES,
        what: format!("it is longer than {MAX_SELECTOR_BYTES} bytes"),
    })
}

fn grammar(text: &str) -> Result<Selector, SelectorError> {
    let mut input = Input {
        rest: text,
        position: 0,
    };
    input.skip_spaces();
    if input.rest.trim_end() == "all" {
        return Ok(Selector::All);
    }
    let mut conditions = vec![condition(&mut input)?];
    while input.take(",") {
        conditions.push(condition(&mut input)?);
    }
    match input.rest.chars().next() {
        None => Ok(Selector::Where(conditions)),
        Some(found) => Err(input.expected("`,` or the end", Some(found))),
    }
}

fn condition(input: &mut Input<'_>) -> Result<Condition, SelectorError> {
    if input.take("!") {
        return Ok(Condition::HasNot(word(input, "a label's key")?));
    }
    let key = word(input, "a label's key")?;
    if input.take("!=") {
        return Ok(Condition::IsNot(key, word(input, "a value")?));
    }
    if input.take("=") {
        return Ok(Condition::Is(key, word(input, "a value")?));
    }
    match input.take_word("in") {
        true => Ok(Condition::OneOf(key, values(input)?)),
        false => Ok(Condition::Has(key)),
    }
}

fn values(input: &mut Input<'_>) -> Result<Vec<LabelWord>, SelectorError> {
    if !input.take("(") {
        return Err(input.expected("`(`", input.rest.chars().next()));
    }
    let mut values = vec![word(input, "a value")?];
    while input.take(",") {
        values.push(word(input, "a value")?);
    }
    match input.take(")") {
        true => Ok(values),
        false => Err(input.expected("`,` or `)`", input.rest.chars().next())),
    }
}

fn word(input: &mut Input<'_>, what: &str) -> Result<LabelWord, SelectorError> {
    let text = input.word();
    if text.is_empty() {
        return Err(input.expected(what, input.rest.chars().next()));
    }
    let parsed = text.parse().map_err(|reason| SelectorError {
        position: input.position,
        what: format!("{reason}"),
    });
    input.advance(text.len());
    parsed
}

/// What is left to read. Positions count characters; the grammar itself is ASCII, so that only an error's own
/// place can lie behind others.
struct Input<'a> {
    rest: &'a str,
    position: usize,
}

impl<'a> Input<'a> {
    fn word(&self) -> &'a str {
        let end = self
            .rest
            .find(|c| !LabelWord::allows(c))
            .unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.word() == word;
        if found {
            self.advance(word.len());
        }
        found
    }

    /// Only ASCII is ever passed over, so bytes are characters.
    fn advance(&mut self, len: usize) {
        self.rest = &self.rest[len..];
        self.position += len;
        self.skip_spaces();
    }

    fn skip_spaces(&mut self) {
        let trimmed = self.rest.trim_start_matches(' ');
        self.position += self.rest.len() - trimmed.len();
        self.rest = trimmed;
    }

    fn expected(&self, what: &str, found: Option<char>) -> SelectorError {
        let found = found.map_or_else(
            || "the end".to_owned(),
            |c| format!("`{}`", c.escape_debug()),
        );
        SelectorError {
            position: self.position,
            what: format!("{what} should stand here, not {found}"),
        }
    }
}
