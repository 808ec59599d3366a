//! Protobuf, field by field. Fields that we do not know are stepped over; of one that may be there once the last counts.

use super::{
    BUCKETS_MAX, Buckets, Exemplar, ExponentialPoint, HistogramPoint, KeyValue, MESSAGES_MAX, Metric,
    NumberPoint, OtlpError, Points, Quantile, Request, Resource, ResourceMetrics, Scope, ScopeMetrics,
    SummaryPoint, Temporality, VALUE_DEPTH_MAX, Value,
};
use crate::remote_write::proto::{Field, Fields};

/// Reads a request.
///
/// # Errors
/// When the bytes are no such message, or beyond a limit.
pub fn decode(message: &[u8]) -> Result<Request, OtlpError> {
    Decoder { n_left: MESSAGES_MAX }.message(message, "ExportMetricsServiceRequest")
}

/// Counts messages, so that they stay within the limit.
struct Decoder {
    n_left: usize,
}

/// A message: takes one field after another.
trait Message: Default {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError>;
}

impl Decoder {
    fn message<M: Message>(&mut self, bytes: &[u8], name: &'static str) -> Result<M, OtlpError> {
        self.count()?;
        let mut message = M::default();
        let mut fields = Fields::new(bytes, name);
        while let Some(field) = fields.next()? {
            message.take(&field, self)?;
        }
        Ok(message)
    }

    fn count(&mut self) -> Result<(), OtlpError> {
        self.n_left = self.n_left.checked_sub(1).ok_or(OtlpError::TooMany)?;
        Ok(())
    }

    fn push<M: Message>(
        &mut self,
        list: &mut Vec<M>,
        field: &Field<'_>,
        name: &'static str,
    ) -> Result<(), OtlpError> {
        list.push(self.message(field.bytes()?, name)?);
        Ok(())
    }

    fn attribute(&mut self, list: &mut Vec<KeyValue>, field: &Field<'_>) -> Result<(), OtlpError> {
        list.push(self.key_value(field.bytes()?, 0)?);
        Ok(())
    }

    fn key_value(&mut self, bytes: &[u8], depth: usize) -> Result<KeyValue, OtlpError> {
        self.count()?;
        let mut found = KeyValue::default();
        let mut fields = Fields::new(bytes, "KeyValue");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => found.key = text(&field)?,
                2 => found.value = self.value(field.bytes()?, depth)?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn value(&mut self, bytes: &[u8], depth: usize) -> Result<Value, OtlpError> {
        if depth > VALUE_DEPTH_MAX {
            return Err(OtlpError::TooDeep);
        }
        self.count()?;
        let mut value = Value::Empty;
        let mut fields = Fields::new(bytes, "AnyValue");
        while let Some(field) = fields.next()? {
            value = match field.number {
                1 => Value::Text(text(&field)?),
                2 => Value::Bool(field.varint()? != 0),
                3 => Value::Int(field.int64()?),
                4 => Value::Double(field.double()?),
                5 => {
                    let mut list = Vec::new();
                    let mut fields = Fields::new(field.bytes()?, "ArrayValue");
                    while let Some(field) = fields.next()?.filter(|field| field.number == 1) {
                        list.push(self.value(field.bytes()?, depth + 1)?);
                    }
                    Value::List(list)
                }
                6 => {
                    let mut map = Vec::new();
                    let mut fields = Fields::new(field.bytes()?, "KeyValueList");
                    while let Some(field) = fields.next()?.filter(|field| field.number == 1) {
                        map.push(self.key_value(field.bytes()?, depth + 1)?);
                    }
                    Value::Map(map)
                }
                7 => Value::Bytes(field.bytes()?.to_vec()),
                _ => value,
            };
        }
        Ok(value)
    }
}

fn text(field: &Field<'_>) -> Result<String, OtlpError> {
    String::from_utf8(field.bytes()?.to_vec()).map_err(|_| OtlpError::NotUtf8)
}

/// Ids are bytes here and hexadecimal in JSON; all zeros is none.
fn hex(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) { String::new() } else { stdx::hex::encode(bytes) }
}

fn put<T>(list: &mut Vec<T>, value: T, is_too_long: &mut bool) {
    if list.len() > BUCKETS_MAX {
        *is_too_long = true;
    } else {
        list.push(value);
    }
}

fn bounded(is_too_long: bool) -> Result<(), OtlpError> {
    if is_too_long { Err(OtlpError::TooManyBuckets) } else { Ok(()) }
}

impl Temporality {
    pub(super) fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

impl Message for Request {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => decoder.push(&mut self.resource_metrics, field, "ResourceMetrics"),
            _ => Ok(()),
        }
    }
}

impl Message for ResourceMetrics {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => self.resource = decoder.message(field.bytes()?, "Resource")?,
            2 => decoder.push(&mut self.scope_metrics, field, "ScopeMetrics")?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Resource {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => decoder.attribute(&mut self.attributes, field),
            _ => Ok(()),
        }
    }
}

impl Message for ScopeMetrics {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => self.scope = decoder.message(field.bytes()?, "InstrumentationScope")?,
            2 => decoder.push(&mut self.metrics, field, "Metric")?,
            3 => self.schema_url = text(field)?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Scope {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => self.name = text(field)?,
            2 => self.version = text(field)?,
            3 => decoder.attribute(&mut self.attributes, field)?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Metric {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => self.name = text(field)?,
            2 => self.description = text(field)?,
            3 => self.unit = text(field)?,
            5 => self.gauge = Some(decoder.message(field.bytes()?, "Gauge")?),
            7 => self.sum = Some(decoder.message(field.bytes()?, "Sum")?),
            9 => self.histogram = Some(decoder.message(field.bytes()?, "Histogram")?),
            10 => self.exponential_histogram = Some(decoder.message(field.bytes()?, "ExponentialHistogram")?),
            11 => self.summary = Some(decoder.message(field.bytes()?, "Summary")?),
            _ => {}
        }
        Ok(())
    }
}

impl<P: Message> Message for Points<P> {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => decoder.push(&mut self.data_points, field, "data point")?,
            2 => self.aggregation_temporality = Temporality::from_number(field.varint()?),
            3 => self.is_monotonic = field.varint()? != 0,
            _ => {}
        }
        Ok(())
    }
}

impl Message for NumberPoint {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            2 => self.start_time_unix_nano = field.fixed64()?,
            3 => self.time_unix_nano = field.fixed64()?,
            4 => (self.as_double, self.as_int) = (Some(field.double()?), None),
            5 => decoder.push(&mut self.exemplars, field, "Exemplar")?,
            6 => (self.as_double, self.as_int) = (None, Some(field.fixed64()? as i64)),
            7 => decoder.attribute(&mut self.attributes, field)?,
            8 => self.flags = field.uint32()?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for HistogramPoint {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        let mut is_too_long = false;
        match field.number {
            2 => self.start_time_unix_nano = field.fixed64()?,
            3 => self.time_unix_nano = field.fixed64()?,
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => field.repeated_fixed64(|count| put(&mut self.bucket_counts, count, &mut is_too_long))?,
            7 => field.repeated_double(|bound| put(&mut self.explicit_bounds, bound, &mut is_too_long))?,
            8 => decoder.push(&mut self.exemplars, field, "Exemplar")?,
            9 => decoder.attribute(&mut self.attributes, field)?,
            10 => self.flags = field.uint32()?,
            _ => {}
        }
        bounded(is_too_long)
    }
}

impl Message for ExponentialPoint {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => decoder.attribute(&mut self.attributes, field)?,
            2 => self.start_time_unix_nano = field.fixed64()?,
            3 => self.time_unix_nano = field.fixed64()?,
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => self.scale = field.sint32()?,
            7 => self.zero_count = field.fixed64()?,
            8 => self.positive = decoder.message(field.bytes()?, "Buckets")?,
            9 => self.negative = decoder.message(field.bytes()?, "Buckets")?,
            10 => self.flags = field.uint32()?,
            11 => decoder.push(&mut self.exemplars, field, "Exemplar")?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Buckets {
    fn take(&mut self, field: &Field<'_>, _: &mut Decoder) -> Result<(), OtlpError> {
        let mut is_too_long = false;
        match field.number {
            1 => self.offset = field.sint32()?,
            2 => field.repeated_varint(|count| put(&mut self.bucket_counts, count, &mut is_too_long))?,
            _ => {}
        }
        bounded(is_too_long)
    }
}

impl Message for SummaryPoint {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            2 => self.start_time_unix_nano = field.fixed64()?,
            3 => self.time_unix_nano = field.fixed64()?,
            4 => self.count = field.fixed64()?,
            5 => self.sum = field.double()?,
            6 => decoder.push(&mut self.quantile_values, field, "ValueAtQuantile")?,
            7 => decoder.attribute(&mut self.attributes, field)?,
            8 => self.flags = field.uint32()?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Quantile {
    fn take(&mut self, field: &Field<'_>, _: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            1 => self.quantile = field.double()?,
            2 => self.value = field.double()?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Exemplar {
    fn take(&mut self, field: &Field<'_>, decoder: &mut Decoder) -> Result<(), OtlpError> {
        match field.number {
            2 => self.time_unix_nano = field.fixed64()?,
            3 => (self.as_double, self.as_int) = (Some(field.double()?), None),
            4 => self.span_id = hex(field.bytes()?),
            5 => self.trace_id = hex(field.bytes()?),
            6 => (self.as_double, self.as_int) = (None, Some(field.fixed64()? as i64)),
            7 => decoder.attribute(&mut self.filtered_attributes, field)?,
            _ => {}
        }
        Ok(())
    }
}
