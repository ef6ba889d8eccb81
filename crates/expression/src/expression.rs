//! One expression: compiled at start, evaluated for every event.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::parser::Macro;
use cel::{Context, Env, Program};
use rowmill_model::{Event, Pipeline, Slot, Value, ValueType};
use rowmill_rowkey::Timestamp;

use crate::shortcut::Shortcut;
use crate::slots::Slots;

/// A compiled expression over the slots of one pipeline's events.
pub struct Expression {
    source: String,
    program: Program,
    names: Vec<(String, Slot)>,
    shortcut: Option<Shortcut>,
}

impl Expression {
    /// Compiles `source`, whose every name must be a slot of `pipeline`.
    pub fn compile(source: &str, pipeline: &Pipeline) -> Result<Self, CompileError> {
        let error = |message: String| CompileError {
            expression: source.to_owned(),
            message,
        };
        let program = ENVIRONMENT.compile(source).map_err(|errors| {
            let first = errors.errors.first();
            error(first.map_or_else(
                || errors.to_string(),
                |first| first.msg.trim().to_lowercase(),
            ))
        })?;
        let references = program.references();
        let mut names = Vec::new();
        for name in references.variables() {
            let slot = pipeline
                .slot(name)
                .ok_or_else(|| error(unknown_name(name, pipeline)))?;
            names.push((name.to_owned(), slot));
        }
        if let Some(name) = references
            .functions()
            .into_iter()
            .find(|name| !is_known_function(name))
        {
            return Err(error(format!("there is no function `{name}`")));
        }
        let shortcut = Shortcut::of(&program.expression().expr, &|name| pipeline.slot(name));
        Ok(Self {
            source: source.to_owned(),
            program,
            names,
            shortcut,
        })
    }

    /// Compiles a condition: an expression that is true or false of an event which has all its values.
    ///
    /// CEL finds out about types only when it runs, so the condition is tried on such an event once. What a comparison
    /// leaves aside, such as the right side of a settled `||`, is not tried.
    pub fn compile_condition(source: &str, pipeline: &Pipeline) -> Result<Self, CompileError> {
        let condition = Self::compile(source, pipeline)?;
        let error = |message: String| CompileError {
            expression: source.to_owned(),
            message,
        };
        match condition.resolve(&specimen(pipeline)) {
            Ok(cel::Value::Bool(_)) => Ok(condition),
            Ok(other) => Err(error(format!(
                "is a {}, not true or false",
                other.type_of()
            ))),
            Err(failure) if is_of_types(&failure) => Err(error(failure.message)),
            // Another failure is of these values, not of their types.
            Err(_) => Ok(condition),
        }
    }

    /// Compiles an expression that has a value of an event which has all its own: it is tried on such an event once, as
    /// [`Expression::compile_condition`] does.
    pub fn compile_value(source: &str, pipeline: &Pipeline) -> Result<Self, CompileError> {
        let expression = Self::compile(source, pipeline)?;
        match expression.evaluate(&specimen(pipeline)) {
            Err(failure) if is_of_types(&failure) => Err(CompileError {
                expression: source.to_owned(),
                message: failure.message,
            }),
            // Another failure is of these values, not of their types.
            _ => Ok(expression),
        }
    }

    /// The slots that the expression names.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.names.iter().map(|(_, slot)| *slot)
    }

    /// Whether the expression is true of `event`.
    pub fn test(&self, event: &Event<'_>) -> Result<bool, EvaluationError> {
        match self
            .shortcut
            .as_ref()
            .and_then(|shortcut| shortcut.test(event))
        {
            Some(truth) => Ok(truth),
            None => self.interpret(event),
        }
    }

    /// The same without a shortcut.
    #[doc(hidden)]
    pub fn interpret(&self, event: &Event<'_>) -> Result<bool, EvaluationError> {
        match self.resolve(event)? {
            cel::Value::Bool(truth) => Ok(truth),
            other => Err(self.error(format!("is a {}, not true or false", other.type_of()))),
        }
    }

    /// The expression's value for `event`.
    pub fn evaluate(&self, event: &Event<'_>) -> Result<Value<'static>, EvaluationError> {
        let value = self.resolve(event)?;
        Ok(match value {
            cel::Value::Null => Value::Null,
            cel::Value::Bool(truth) => Value::Bool(truth),
            cel::Value::Int(number) => Value::Int(number),
            cel::Value::UInt(number) => {
                Value::Int(i64::try_from(number).map_err(|_| self.error("is too large"))?)
            }
            cel::Value::Float(number) if number.is_finite() => Value::Float(number),
            cel::Value::String(text) => Value::String(text.to_string().into()),
            cel::Value::Timestamp(time) => Value::Timestamp(
                Timestamp::from_micros(time.timestamp_micros())
                    .map_err(|error| self.error(error))?,
            ),
            other => {
                return Err(self.error(format!("is a {}, which no field holds", other.type_of())));
            }
        })
    }

    fn resolve(&self, event: &Event<'_>) -> Result<cel::Value, EvaluationError> {
        let slots = Slots {
            names: &self.names,
            event,
        };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&slots);
        self.program
            .execute(&context)
            .map_err(|error| self.error(error))
    }

    fn error(&self, message: impl fmt::Display) -> EvaluationError {
        EvaluationError {
            expression: self.source.clone(),
            message: message.to_string(),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// An expression that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct CompileError {
    expression: String,
    message: String,
}

/// An expression that has no value for an event, because something it names is absent or of another type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct EvaluationError {
    expression: String,
    message: String,
}

/// An event of a pipeline with a value of the right type everywhere.
fn specimen(pipeline: &Pipeline) -> Event<'static> {
    let now = Timestamp::from_micros(1_500_000_000_000_000).expect("a time of this century");
    let value = |field: &rowmill_model::FieldSpec| match field.value_type {
        ValueType::String => Value::String("text".into()),
        ValueType::Int => Value::Int(1),
        ValueType::Float => Value::Float(1.5),
        ValueType::Bool => Value::Bool(true),
        ValueType::Timestamp => Value::Timestamp(now),
        ValueType::Json => Value::Json("{}".into()),
    };
    Event {
        user_id: Some("user".into()),
        timestamp: now,
        event_type: Some("type".into()),
        event_id: "id".into(),
        values: pipeline.fields.iter().map(value).collect(),
        unknown: Vec::new(),
    }
}

/// Whether an expression failed because of the types of what it names.
fn is_of_types(failure: &EvaluationError) -> bool {
    let signs = ["no matching overload", "which no field holds"];
    signs.iter().any(|sign| failure.message.contains(sign))
}

fn unknown_name(name: &str, pipeline: &Pipeline) -> String {
    match pipeline.nearest_slot(name) {
        Some(hint) => format!("there is no field `{name}`; {hint}"),
        None => format!("there is no field `{name}`"),
    }
}

/// CEL's standard functions and operators, and `has(name)` as `name != null`.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::default().with_stdlib();
    let has = Macro::global("has", 1, |helper, _, arguments| {
        let name = arguments.pop().expect("a macro of one argument");
        if !matches!(name.expr, Expr::Ident(_)) {
            return Err(helper.new_error(name.id, "has() takes the name of a field"));
        }
        let null = helper.next_expr(Expr::Literal(LiteralValue::Null));
        let call = CallExpr {
            func_name: operators::NOT_EQUALS.to_owned(),
            target: None,
            args: vec![name, null],
        };
        Ok(Some(helper.next_expr(Expr::Call(call))))
    });
    env.add_macro(has)
        .expect("the environment has no macros yet");
    Arc::new(env)
});

/// The functions of the standard environment that a value of an event can be given to.
const FUNCTIONS: [&str; 26] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "max",
    "min",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
];

fn is_known_function(name: &str) -> bool {
    // Operators are functions too, with names such as `_==_` and `@in`.
    FUNCTIONS.contains(&name) || name.contains(['_', '@'])
}
