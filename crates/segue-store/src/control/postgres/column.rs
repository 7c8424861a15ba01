//! How values lie in PostgreSQL's columns. What cannot be read back is a conversion error, which means
//! damage.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use bytes::BytesMut;
use jiff::Timestamp;
use segue_core::scenario::hash::Checksum;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

pub(super) use super::super::column::{Hex, Json, Micros, Number, Word};
use super::super::list::Value;

type Cause = Box<dyn Error + Sync + Send>;

impl ToSql for Micros {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        self.0.as_microsecond().to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Micros {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(Timestamp::from_microsecond(i64::from_sql(ty, raw)?)?))
    }

    accepts!(INT8);
}

impl ToSql for Number {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        i64::try_from(self.0)?.to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Number {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(u64::try_from(i64::from_sql(ty, raw)?)?))
    }

    accepts!(INT8);
}

impl<T: Serialize + fmt::Debug> ToSql for Json<T> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        serde_json::to_string(&self.0)?.to_sql(ty, out)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a, T: DeserializeOwned> FromSql<'a> for Json<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    accepts!(TEXT);
}

impl<'a, T: FromStr<Err: Error + Send + Sync + 'static>> FromSql<'a> for Word<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(<&str>::from_sql(ty, raw)?.parse()?))
    }

    accepts!(TEXT);
}

impl ToSql for Hex {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        self.0.to_string().to_sql(ty, out)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Hex {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(Checksum::try_from(String::from_sql(ty, raw)?)?))
    }

    accepts!(TEXT);
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        match self {
            Self::Number(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Id(id) => id.to_sql(ty, out),
        }
    }

    accepts!(INT8, TEXT, UUID);
    to_sql_checked!();
}
