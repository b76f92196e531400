//! The document as a tree whose every node knows where it stands in the text.
//!
//! Owns YAML: anchors, duplicate keys, nesting and size limits. Everything after it sees mappings, lists and scalars.

use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use super::error::{Position, Problem};
use super::path::{Path, Segment};
use super::scalar::Scalar;

/// Deepest nesting. A Pod needs about twelve levels; recursion over a hostile file must not reach the stack's end.
const MAX_DEPTH: usize = 64;
/// Most nodes of one file, aliases counted as often as they are used (the "billion laughs" of YAML).
const MAX_NODES: usize = 200_000;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: Position,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub at: Position,
    pub key: String,
    pub value: Node,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Mapping(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Scalar::Null))
    }

    /// Where `path` stands; of a path that the file does not have, where its nearest existing parent begins.
    pub fn locate(&self, path: &Path) -> Position {
        let mut node = self;
        for segment in path.segments() {
            let next = match (segment, &node.kind) {
                (Segment::Field(name) | Segment::Key(name), Kind::Mapping(_)) => node.get(name),
                (Segment::Index(index), Kind::Sequence(items)) => items.get(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Sequence(_) => f.write_str("a list"),
            Self::Mapping(_) => f.write_str("a mapping"),
        }
    }
}

/// Every document of `text` that is not empty.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                let node = reader.node(first, &Path::root(), 0)?;
                if !node.is_null() {
                    documents.push(node);
                }
            }
            _ => {}
        }
    }
}

struct Reader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'input> Reader<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let what = format!("not valid YAML: {}", error.info());
                Err(Problem::new(position(*error.marker()), &Path::root(), what))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn count(&mut self, nodes: usize, at: Position, path: &Path) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(
                at,
                path,
                format!("has more than {MAX_NODES} values, aliases included"),
            ));
        }
        Ok(())
    }

    fn node(
        &mut self,
        (event, span): (Event<'input>, Span),
        path: &Path,
        depth: usize,
    ) -> Result<Node, Problem> {
        let at = position(span.start);
        if depth > MAX_DEPTH {
            return Err(Problem::new(at, path, format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        self.count(1, at, path)?;
        let before = self.nodes;
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_string = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let scalar = match style {
                    ScalarStyle::Plain if !is_string => Scalar::resolve(&text),
                    _ => Scalar::String(text.into_owned()),
                };
                (anchor, Kind::Scalar(scalar))
            }
            Event::SequenceStart(anchor, _) => (anchor, Kind::Sequence(self.sequence(path, depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Kind::Mapping(self.mapping(path, depth)?)),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::new(at, path, "refers to an anchor that is not complete here"));
                };
                self.count(size, at, path)?;
                return Ok(node);
            }
            other => return Err(Problem::new(at, path, format!("not valid YAML: unexpected {other:?}"))),
        };
        let node = Node { at, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn sequence(&mut self, path: &Path, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => {
                    let item = self.node(event, &path.index(items.len()), depth + 1)?;
                    items.push(item);
                }
            }
        }
    }

    fn mapping(&mut self, path: &Path, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let at = position(span.start);
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Problem::new(at, path, "a key must be a plain name")),
            };
            if key == "<<" {
                let what = "merge keys (<<) are not read; write the fields out";
                return Err(Problem::new(at, path, what));
            }
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let what = format!("is given twice, first in line {}", first.at.line);
                return Err(Problem::new(at, &path.field(&key), what));
            }
            let event = self.next()?;
            let value = self.node(event, &path.field(&key), depth + 1)?;
            entries.push(Entry { at, key, value });
        }
    }
}

fn position(marker: Marker) -> Position {
    // The parser counts lines from one and columns from zero; an error at the very start carries line zero.
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}
