//! What a bucket knows of one measure.

use rowmill_model::{Statistic, Value};

use crate::bytes::{Reader, push_varint};
use crate::exact_sum::{Decimal, ExactSum};
use crate::quantiles::{self, Quantiles};

/// Count, sum, least and greatest value of a measure, and a sketch of its quantiles if they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    count: u64,
    sum: ExactSum,
    extremes: Option<(Number, Number)>,
    quantiles: Option<Quantiles>,
}

/// A value of a measure. All values of one measure are of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Int(i64),
    Float(f64),
}

/// A number as every bucket needs it, worked out once an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    number: Number,
    decimal: Decimal,
    /// Among the quantiles.
    bucket: i32,
}

impl Measured {
    /// What there is to measure of a value; nothing of what is no number.
    pub(crate) fn of(value: &Value<'_>) -> Option<Self> {
        Number::of(value).map(Number::measured)
    }
}

impl Number {
    fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self::Int(*number)),
            // Adding zero makes one of the two zeros.
            Value::Float(number) => Some(Self::Float(number + 0.0)),
            _ => None,
        }
    }

    fn measured(self) -> Measured {
        let decimal = match self {
            Self::Int(number) => Decimal::of_int(number),
            Self::Float(number) => Decimal::of_float(number),
        };
        Measured {
            number: self,
            decimal,
            bucket: quantiles::bucket(self.to_float()),
        }
    }

    fn to_float(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "quantiles are approximate")]
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    fn to_value(self) -> Value<'static> {
        match self {
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
        }
    }

    fn is_below(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a < b,
            (a, b) => a.to_float() < b.to_float(),
        }
    }

    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => {
                out.push(b'i');
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Float(number) => {
                out.push(b'f');
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            b'i' => Some(Self::Int(i64::from_be_bytes(reader.array()?))),
            b'f' => Some(f64::from_be_bytes(reader.array()?))
                .filter(|number| number.is_finite())
                .map(Self::Float),
            _ => None,
        }
    }
}

impl Measure {
    /// Nothing measured yet.
    pub(crate) fn new(with_quantiles: bool) -> Self {
        let quantiles = with_quantiles.then(Quantiles::default);
        Self {
            count: 0,
            sum: ExactSum::default(),
            extremes: None,
            quantiles,
        }
    }

    /// Forgets what was measured, but keeps the room that it took.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.sum = ExactSum::default();
        self.extremes = None;
        if let Some(quantiles) = &mut self.quantiles {
            quantiles.clear();
        }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, measured: &Measured) {
        self.count += 1;
        self.sum.add(measured.decimal);
        if let Some(quantiles) = &mut self.quantiles {
            quantiles.add_to(measured.bucket, 1);
        }
        self.widen(measured.number, measured.number);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum.merge(&other.sum);
        if let (Some(ours), Some(theirs)) = (&mut self.quantiles, &other.quantiles) {
            ours.merge(theirs);
        }
        if let Some((least, greatest)) = other.extremes {
            self.widen(least, greatest);
        }
    }

    /// How many bytes it takes beside its own size, or more: what it may reserve by the time it has twice as much in it.
    pub(crate) fn heap_bytes(&self) -> usize {
        let quantiles = self.quantiles.as_ref().map_or(0, Quantiles::heap_bytes);
        quantiles + self.sum.heap_bytes()
    }

    fn widen(&mut self, low: Number, high: Number) {
        let (least, greatest) = self.extremes.get_or_insert((low, high));
        if low.is_below(*least) {
            *least = low;
        }
        if greatest.is_below(high) {
            *greatest = high;
        }
    }

    /// How many values were measured.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The exact sum.
    pub fn sum(&self) -> &ExactSum {
        &self.sum
    }

    /// A statistic; null where there is nothing to say it of. A sum that a float or integer cannot hold is the nearest
    /// one that can; [`Measure::sum`] has it exactly.
    pub fn statistic(&self, statistic: Statistic, is_int: bool) -> Value<'static> {
        let extreme = |pick: fn((Number, Number)) -> Number| {
            self.extremes.map_or(Value::Null, |it| pick(it).to_value())
        };
        match statistic {
            Statistic::Count => Value::Int(i64::try_from(self.count).unwrap_or(i64::MAX)),
            Statistic::Sum if is_int => {
                Value::Int(self.sum.to_int().unwrap_or_else(|| self.saturated_sum()))
            }
            Statistic::Sum => Value::Float(self.sum.to_float().clamp(f64::MIN, f64::MAX)),
            Statistic::Min => extreme(|(least, _)| least),
            Statistic::Max => extreme(|(_, greatest)| greatest),
            Statistic::Avg if self.count == 0 => Value::Null,
            #[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
            Statistic::Avg => {
                Value::Float(self.sum.to_float().clamp(f64::MIN, f64::MAX) / self.count as f64)
            }
            Statistic::Percentile(percent) => {
                self.percentile(percent).map_or(Value::Null, Value::Float)
            }
        }
    }

    fn saturated_sum(&self) -> i64 {
        if self.sum.to_float() < 0.0 {
            i64::MIN
        } else {
            i64::MAX
        }
    }

    /// The estimate of a percentile, which is never beyond the values that were measured.
    fn percentile(&self, percent: u8) -> Option<f64> {
        let (least, greatest) = self.extremes?;
        let estimate = self.quantiles.as_ref()?.percentile(percent)?;
        Some(estimate.clamp(least.to_float(), greatest.to_float()))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        push_varint(out, self.count);
        if self.count == 1
            && let Some((only, _)) = self.extremes
        {
            // Everything follows from one value.
            return only.encode(out);
        }
        self.sum.encode(out);
        if let Some((least, greatest)) = self.extremes {
            least.encode(out);
            greatest.encode(out);
        }
        if let Some(quantiles) = &self.quantiles {
            quantiles.encode(out);
        }
    }

    /// Adds what an encoded measure knows.
    pub(crate) fn merge_encoded(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let count = reader.varint()?;
        if count == 1 {
            self.count.checked_add(1)?;
            self.add(&Number::decode(reader)?.measured());
            return Some(());
        }
        self.count = self.count.checked_add(count)?;
        self.sum.merge(&ExactSum::decode(reader)?);
        if count > 0 {
            let (least, greatest) = (Number::decode(reader)?, Number::decode(reader)?);
            self.widen(least, greatest);
        }
        match &mut self.quantiles {
            Some(quantiles) => quantiles.merge_encoded(reader),
            None => Some(()),
        }
    }
}
