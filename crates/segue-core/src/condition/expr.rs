//! A condition as a tree of our own, built once from the syntax tree of `cel`.
//!
//! It names fields by number, knows its functions and keeps its patterns compiled, so that an
//! evaluation touches nothing but the values that it needs. What has no place in a condition (maps,
//! structures, bytes, unknown functions, values that are neither true nor false) is refused with the
//! reason, and the text counts as natural language.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr as Cel, IdedExpr, LiteralValue, SelectExpr, operators,
};
use cel::parser::PrattParser;

use crate::condition::functions::Function;
use crate::condition::tokens::{Size, Tokens};
use crate::condition::value::Val;
use crate::condition::words::{self, ALL_FIELDS, KNOWN, NOT_IN};
use crate::ids::FieldName;

/// Stack that parsing gets for each bracket or operator, in bytes; debug builds use under 8 KiB.
const PARSE_BYTES_PER_LEVEL: usize = 16 * 1024;

/// An expression ready to be evaluated.
#[derive(Debug)]
pub(super) struct Program {
    pub root: Expr,
    /// The fields by number.
    pub fields: Vec<FieldName>,
    /// Those of them whose values it needs; of the others it only asks whether they are known.
    pub needed: Vec<FieldName>,
    /// How deep the tree is, which is how deep an evaluation recurses.
    pub depth: usize,
    /// Whether it could as well be a phrase of natural language.
    is_phrase: bool,
}

/// A node.
#[derive(Debug)]
pub(super) enum Expr {
    Literal(Val<'static>),
    Field(usize),
    /// Whether the field is known.
    Known(usize),
    /// A variable of a loop, counted from the outermost.
    Local(usize),
    Select(Box<Expr>, String),
    /// Whether an object has a key.
    Has(Box<Expr>, String),
    Index(Box<[Expr; 2]>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    If(Box<[Expr; 3]>),
    Compare(Comparison, Box<[Expr; 2]>),
    In(Box<[Expr; 2]>),
    Arithmetic(Arithmetic, Box<[Expr; 2]>),
    Negate(Box<Expr>),
    List(Vec<Expr>),
    Call(Function, Vec<Expr>),
    /// True unless the operand is false; ends the loops of `all` and `exists` early.
    NotFalse(Box<Expr>),
    Loop(Box<Loop>),
}

/// What `all`, `exists`, `exists_one`, `filter` and `map` stand for. The item is the local after those
/// in scope, the accumulator the one after that.
#[derive(Debug)]
pub(super) struct Loop {
    pub range: Expr,
    pub start: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Comparison {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Arithmetic {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

impl Program {
    /// Compiles a text, or says why it is no expression.
    pub(super) fn compile(text: &str, declared: &[FieldName]) -> Result<Self, String> {
        let tokens = Tokens::new(text, declared).collect::<Result<Vec<_>, _>>()?;
        let mut size = Size::default();
        for token in &tokens {
            size.count(token).map_err(|error| error.to_string())?;
        }
        let cel = words::rewrite(&tokens);
        let stack = (size.deepest + size.operators + 16) * PARSE_BYTES_PER_LEVEL;
        let mut program = stacker::maybe_grow(stack, stack, || {
            let tree = parse(&cel)?;
            let mut builder = Builder::default();
            let root = builder.condition(&tree)?;
            Ok::<_, String>(builder.finish(root))
        })?;
        let is_declared = |name: &FieldName| declared.contains(name);
        program.is_phrase = words::is_phrase(&tokens) && !program.fields.iter().any(is_declared);
        Ok(program)
    }

    /// Whether it is about fields, and not a phrase whose words are none.
    pub(super) fn names_fields(&self, is_defined: impl Fn(&str) -> bool) -> bool {
        !self.is_phrase || self.fields.iter().any(|field| is_defined(field.as_str()))
    }
}

fn parse(cel: &str) -> Result<IdedExpr, String> {
    let parser = PrattParser::new()
        .max_recursion_depth(u16::MAX)
        .error_recovery_limit(0)
        .error_reporting_limit(1)
        .enable_variadic_operator_asts(true)
        .enable_ident_escape_syntax(true);
    // No text is known to make the parser panic; were there one, it must not end a process that
    // serves other tenants.
    match catch_unwind(AssertUnwindSafe(|| parser.parse(cel))) {
        Ok(Ok(tree)) => Ok(tree),
        // The errors without a place say that the parser stopped at the first of the others.
        Ok(Err(errors)) => {
            let first = errors.errors.iter().find(|error| error.pos.0 > 0);
            let what = first.map_or("no expression", |error| &error.msg);
            let what = what.trim_start_matches("Syntax error: ");
            Err(format!("no CEL: {}", what.replace("expecting <EOF>", "where it should end")))
        }
        Err(_) => Err("the parser failed on it".to_owned()),
    }
}

/// What a node can be as far as its shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Boolean,
    Other,
    Any,
}

fn shape(expr: &Expr) -> Shape {
    match expr {
        Expr::Literal(Val::Bool(_))
        | Expr::Known(_)
        | Expr::Has(..)
        | Expr::Not(_)
        | Expr::And(_)
        | Expr::Or(_)
        | Expr::Compare(..)
        | Expr::In(_)
        | Expr::NotFalse(_) => Shape::Boolean,
        Expr::Literal(_) | Expr::Arithmetic(..) | Expr::Negate(_) | Expr::List(_) => Shape::Other,
        Expr::Field(_) | Expr::Local(_) | Expr::Select(..) | Expr::Index(_) => Shape::Any,
        Expr::If(parts) => match (shape(&parts[1]), shape(&parts[2])) {
            (Shape::Other, _) | (_, Shape::Other) => Shape::Other,
            (Shape::Boolean, Shape::Boolean) => Shape::Boolean,
            _ => Shape::Any,
        },
        Expr::Call(function, _) if function.is_boolean() => Shape::Boolean,
        Expr::Call(..) => Shape::Other,
        Expr::Loop(parts) => shape(&parts.result),
    }
}

/// Builds the tree of one condition.
#[derive(Default)]
struct Builder {
    numbers: HashMap<String, usize>,
    fields: Vec<FieldName>,
    /// By field, whether its value is needed.
    is_needed: Vec<bool>,
    /// Whether this is inside `has(…)`, where values are asked about and not needed.
    is_asking: bool,
    /// The variables of the loops around.
    locals: Vec<String>,
    depth: usize,
    deepest: usize,
}

impl Builder {
    fn finish(self, root: Expr) -> Program {
        let needed = self.fields.iter().zip(&self.is_needed).filter(|(_, needed)| **needed);
        Program {
            root,
            needed: needed.map(|(field, _)| field.clone()).collect(),
            fields: self.fields,
            depth: self.deepest,
            is_phrase: false,
        }
    }

    /// Builds what must be true or false.
    fn condition(&mut self, tree: &IdedExpr) -> Result<Expr, String> {
        let expr = self.expr(tree)?;
        match shape(&expr) {
            Shape::Boolean | Shape::Any => Ok(expr),
            Shape::Other => Err("a part of it is neither true nor false".to_owned()),
        }
    }

    fn conditions(&mut self, trees: &[IdedExpr]) -> Result<Vec<Expr>, String> {
        trees.iter().map(|tree| self.condition(tree)).collect()
    }

    fn exprs(&mut self, trees: &[IdedExpr]) -> Result<Vec<Expr>, String> {
        trees.iter().map(|tree| self.expr(tree)).collect()
    }

    fn expr(&mut self, tree: &IdedExpr) -> Result<Expr, String> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let expr = match &tree.expr {
            Cel::Literal(literal) => Ok(Expr::Literal(value(literal)?)),
            Cel::Ident(name) => self.name(name),
            Cel::Call(call) => self.call(call),
            Cel::List(list) => Ok(Expr::List(self.exprs(&list.elements)?)),
            Cel::Comprehension(parts) => self.each(parts),
            Cel::Select(select) if is_all_fields(&select.operand, &self.locals) => self
                .field(&select.field, !select.test)
                .map(|field| if select.test { Expr::Known(field) } else { Expr::Field(field) }),
            Cel::Select(select) => self.select(select),
            Cel::Map(_) => Err("objects cannot be written in a condition".to_owned()),
            Cel::Struct(_) => Err("structures cannot be written in a condition".to_owned()),
            Cel::Unspecified => Err("a part is missing".to_owned()),
        };
        self.depth -= 1;
        expr
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Expr, String> {
        let was_asking = self.is_asking;
        self.is_asking |= select.test;
        let operand = self.expr(&select.operand);
        self.is_asking = was_asking;
        let (operand, key) = (Box::new(operand?), select.field.clone());
        Ok(if select.test { Expr::Has(operand, key) } else { Expr::Select(operand, key) })
    }

    fn name(&mut self, name: &str) -> Result<Expr, String> {
        if let Some(local) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Expr::Local(local));
        }
        if name == ALL_FIELDS {
            return Err(format!("`{ALL_FIELDS}` needs the name of a field after it"));
        }
        self.field(name.trim_start_matches('.'), true).map(Expr::Field)
    }

    fn field(&mut self, name: &str, needed: bool) -> Result<usize, String> {
        let number = if let Some(&number) = self.numbers.get(name) {
            number
        } else {
            self.fields.push(FieldName::new(name).map_err(|error| error.to_string())?);
            self.is_needed.push(false);
            self.numbers.insert(name.to_owned(), self.fields.len() - 1);
            self.fields.len() - 1
        };
        self.is_needed[number] |= needed && !self.is_asking;
        Ok(number)
    }

    fn call(&mut self, call: &CallExpr) -> Result<Expr, String> {
        if let Some(comparison) = comparison(&call.func_name) {
            return Ok(Expr::Compare(comparison, self.pair(&call.args)?));
        }
        if let Some(arithmetic) = arithmetic(&call.func_name) {
            return Ok(Expr::Arithmetic(arithmetic, self.pair(&call.args)?));
        }
        match (call.func_name.as_str(), &call.args[..]) {
            (operators::LOGICAL_AND, args) => Ok(Expr::And(self.conditions(args)?)),
            (operators::LOGICAL_OR, args) => Ok(Expr::Or(self.conditions(args)?)),
            (operators::LOGICAL_NOT, [operand]) => {
                Ok(Expr::Not(Box::new(self.condition(operand)?)))
            }
            (operators::NEGATE, [operand]) => Ok(Expr::Negate(Box::new(self.expr(operand)?))),
            (operators::NOT_STRICTLY_FALSE, [operand]) => {
                Ok(Expr::NotFalse(Box::new(self.condition(operand)?)))
            }
            (operators::CONDITIONAL, [if_true, then, otherwise]) => Ok(Expr::If(Box::new([
                self.condition(if_true)?,
                self.expr(then)?,
                self.expr(otherwise)?,
            ]))),
            (operators::IN, [item, list]) => self.membership(item, list),
            (operators::INDEX, [operand, index]) if is_all_fields(operand, &self.locals) => {
                self.field(text(index)?, true).map(Expr::Field)
            }
            (operators::INDEX, args) => Ok(Expr::Index(self.pair(args)?)),
            (KNOWN, [IdedExpr { expr: Cel::Call(inner), .. }]) if inner.args.len() == 2 => {
                self.field(text(&inner.args[1])?, false).map(Expr::Known)
            }
            (name, _) => self.function(name, call),
        }
    }

    /// `item in list`, and `item not in list` as the words were written.
    fn membership(&mut self, item: &IdedExpr, list: &IdedExpr) -> Result<Expr, String> {
        match &list.expr {
            Cel::Call(CallExpr { func_name, args, .. })
                if func_name == NOT_IN && args.len() == 1 =>
            {
                let pair = Box::new([self.expr(item)?, self.expr(&args[0])?]);
                Ok(Expr::Not(Box::new(Expr::In(pair))))
            }
            _ => Ok(Expr::In(Box::new([self.expr(item)?, self.expr(list)?]))),
        }
    }

    fn function(&mut self, name: &str, call: &CallExpr) -> Result<Expr, String> {
        let mut args = match &call.target {
            Some(target) => vec![self.expr(target)?],
            None => Vec::new(),
        };
        args.extend(self.exprs(&call.args)?);
        let function = Function::find(name, &args)?;
        Ok(Expr::Call(function, args))
    }

    fn each(&mut self, parts: &ComprehensionExpr) -> Result<Expr, String> {
        let range = self.expr(&parts.iter_range)?;
        let start = self.expr(&parts.accu_init)?;
        self.locals.push(parts.iter_var.clone());
        self.locals.push(parts.accu_var.clone());
        let condition = self.condition(&parts.loop_cond)?;
        let step = self.expr(&parts.loop_step)?;
        let result = self.expr(&parts.result)?;
        self.locals.truncate(self.locals.len() - 2);
        Ok(Expr::Loop(Box::new(Loop { range, start, condition, step, result })))
    }

    fn pair(&mut self, args: &[IdedExpr]) -> Result<Box<[Expr; 2]>, String> {
        match args {
            [left, right] => Ok(Box::new([self.expr(left)?, self.expr(right)?])),
            _ => Err("an operator lacks an operand".to_owned()),
        }
    }
}

/// Whether a node is the name under which every field can be reached.
fn is_all_fields(tree: &IdedExpr, locals: &[String]) -> bool {
    matches!(&tree.expr, Cel::Ident(name) if name == ALL_FIELDS)
        && !locals.iter().any(|l| l == ALL_FIELDS)
}

fn text(tree: &IdedExpr) -> Result<&str, String> {
    match &tree.expr {
        Cel::Literal(LiteralValue::String(text)) => Ok(text.inner()),
        _ => Err(format!("`{ALL_FIELDS}[…]` needs the name of a field in quotes")),
    }
}

fn value(literal: &LiteralValue) -> Result<Val<'static>, String> {
    Ok(match literal {
        LiteralValue::Null => Val::Null,
        LiteralValue::Boolean(b) => Val::Bool(*b.inner()),
        LiteralValue::Int(i) => Val::Int(*i.inner()),
        LiteralValue::UInt(u) => Val::Uint(*u.inner()),
        LiteralValue::Double(d) => Val::Double(*d.inner()),
        LiteralValue::String(text) => Val::Text(text.inner().to_owned().into()),
        LiteralValue::Bytes(_) => return Err("bytes cannot be written in a condition".to_owned()),
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}
