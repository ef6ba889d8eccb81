//! The plain conditions that most rules are made of, answered without the interpreter.
//!
//! A shortcut covers comparisons of one slot with one literal, `has(name)`, and `&&`, `||`, `!` of such. It answers what
//! the interpreter answers, or not at all: wherever a value is absent or of another type than the literal it leaves the
//! question to the interpreter, and a property test holds the two against each other.

use std::cmp::Ordering;

use cel::common::ast::{Expr, LiteralValue, operators};
use rowmill_model::{Event, Slot, Value};

/// A condition of few kinds.
#[derive(Debug)]
pub(crate) enum Shortcut {
    Has(Slot),
    Compare(Slot, Comparison, Literal),
    And(Vec<Shortcut>),
    Or(Vec<Shortcut>),
    Not(Box<Shortcut>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub(crate) enum Literal {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Shortcut {
    /// The shortcut of an expression, if it is as plain as that.
    pub(crate) fn of(expression: &Expr, slot: &impl Fn(&str) -> Option<Slot>) -> Option<Self> {
        let Expr::Call(call) = expression else {
            return None;
        };
        if call.target.is_some() {
            return None;
        }
        let arguments: Vec<&Expr> = call.args.iter().map(|argument| &argument.expr).collect();
        let all = || {
            arguments
                .iter()
                .map(|it| Self::of(it, slot))
                .collect::<Option<Vec<_>>>()
        };
        match call.func_name.as_str() {
            operators::LOGICAL_AND => all().map(Self::And),
            operators::LOGICAL_OR => all().map(Self::Or),
            operators::LOGICAL_NOT => all()?.pop().map(|inner| Self::Not(Box::new(inner))),
            name => Self::comparison(Comparison::of(name)?, &arguments, slot),
        }
    }

    fn comparison(
        comparison: Comparison,
        arguments: &[&Expr],
        slot: &impl Fn(&str) -> Option<Slot>,
    ) -> Option<Self> {
        let [Expr::Ident(name), Expr::Literal(literal)] = arguments else {
            return None;
        };
        let slot = slot(name)?;
        let literal = match literal {
            LiteralValue::Null if matches!(comparison, Comparison::NotEqual) => {
                return Some(Self::Has(slot));
            }
            LiteralValue::String(text) => Literal::Text(text.inner().to_owned()),
            LiteralValue::Int(number) => Literal::Int(*number.inner()),
            LiteralValue::Double(number) => Literal::Float(*number.inner()),
            LiteralValue::Boolean(truth) => Literal::Bool(*truth.inner()),
            _ => return None,
        };
        Some(Self::Compare(slot, comparison, literal))
    }

    /// The answer for an event, if it is plain.
    pub(crate) fn test(&self, event: &Event<'_>) -> Option<bool> {
        match self {
            Self::Has(slot) => Some(is_present(event, *slot)),
            Self::Compare(slot, comparison, literal) => {
                ordering(event, *slot, literal).map(|ordering| comparison.holds(ordering))
            }
            // One operand that settles it is enough, whatever the others are: so it is in CEL.
            Self::And(all) => settle(all.iter().map(|it| it.test(event)), false),
            Self::Or(any) => settle(any.iter().map(|it| it.test(event)), true),
            Self::Not(inner) => inner.test(event).map(|truth| !truth),
        }
    }
}

/// `settling` as soon as one answer is that; otherwise its opposite, if all are known.
fn settle(answers: impl Iterator<Item = Option<bool>>, settling: bool) -> Option<bool> {
    let mut all_known = true;
    for answer in answers {
        match answer {
            Some(answer) if answer == settling => return Some(settling),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!settling)
}

impl Comparison {
    fn of(operator: &str) -> Option<Self> {
        match operator {
            operators::EQUALS => Some(Self::Equal),
            operators::NOT_EQUALS => Some(Self::NotEqual),
            operators::LESS => Some(Self::Less),
            operators::LESS_EQUALS => Some(Self::LessOrEqual),
            operators::GREATER => Some(Self::Greater),
            operators::GREATER_EQUALS => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

fn is_present(event: &Event<'_>, slot: Slot) -> bool {
    match slot {
        Slot::UserId => event.user_id.is_some(),
        Slot::EventType => event.event_type.is_some(),
        Slot::EventId | Slot::Timestamp => true,
        Slot::Field(index) => !event.values[index].is_null(),
    }
}

/// How a slot's value compares with a literal of the same kind; none for any other.
fn ordering(event: &Event<'_>, slot: Slot, literal: &Literal) -> Option<Ordering> {
    let text = match slot {
        Slot::UserId => event.user_id.as_deref(),
        Slot::EventType => event.event_type.as_deref(),
        Slot::EventId => Some(&*event.event_id),
        Slot::Timestamp => None,
        Slot::Field(index) => match (&event.values[index], literal) {
            (Value::String(text) | Value::Json(text), _) => Some(&**text),
            (Value::Int(value), Literal::Int(literal)) => return Some(value.cmp(literal)),
            (Value::Float(value), Literal::Float(literal)) => return value.partial_cmp(literal),
            (Value::Bool(value), Literal::Bool(literal)) => return Some(value.cmp(literal)),
            _ => None,
        },
    };
    match (text, literal) {
        (Some(text), Literal::Text(literal)) => Some(text.cmp(literal)),
        _ => None,
    }
}
